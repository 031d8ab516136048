"""Who may answer, and how much of the traffic: admission, ramps, going back, draining."""
