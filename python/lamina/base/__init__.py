"""What everything stands on: checks, names, configurations, files, locks. Nothing here knows a tensor."""
