const char release[] = UTS_RELEASE;
