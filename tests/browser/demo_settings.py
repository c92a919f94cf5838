"""Settings of the demo site: about one failure in a hundred stocks, slow enough for the screenshots."""

SETTINGS = {
    "COLLECTOR_SIMULATED_STOCKS": "1800",
    "COLLECTOR_SIMULATED_BARS": "250",
    "COLLECTOR_SIMULATED_LATENCY": "0.05",
    "COLLECTOR_SIMULATED_FAILURE_RATE": "0.012",
    "COLLECTOR_SIMULATED_THROTTLE_RATE": "0.004",
    "COLLECTOR_MAX_ATTEMPTS": "1",
    "COLLECTOR_SOURCES": "",
    "COLLECTOR_HEARTBEAT": "1",
    "COLLECTOR_NO_THROTTLE": "0",
}
