"""From the configuration file to what the daemon runs on."""
