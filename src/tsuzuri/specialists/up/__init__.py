"""`tsuzuri specialists up`: all parts as processes of one machine."""
