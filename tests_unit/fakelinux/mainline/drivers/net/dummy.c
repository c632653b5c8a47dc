MODULE_DESCRIPTION("dummy network interface");
