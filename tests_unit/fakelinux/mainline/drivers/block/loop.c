MODULE_DESCRIPTION("loop block device");
