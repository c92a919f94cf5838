"""The work itself: planning, slices, writing bars, the watchdog, the workers' supervisor."""
