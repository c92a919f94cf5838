"""A small copy of the script that the product replaces: FastAPI, and tasks in a dict of one process."""

from datetime import datetime
from typing import Any

from fastapi import FastAPI, HTTPException

app = FastAPI()
TASK_ID = "1f3a5a0c-8d6b-4c8e-9d0a-0e1f2a3b4c5d"
tasks: dict[str, dict[str, Any]] = {
    TASK_ID: {
        "task_id": TASK_ID,
        "status": "running",
        "progress": 50,
        "total_stocks": 5400,
        "processed_stocks": 2700,
        "success_count": 2690,
        "failed_count": 10,
        "collected_count": 6_750_000,
        "skipped_count": 0,
        "start_time": datetime(2026, 1, 5, 9, 30),
        "end_time": None,
        "error_message": "",
        "failed_details": [f"{code:06d}: timeout" for code in range(10)],
    }
}


@app.get("/api/data-collection/status/{task_id}")
async def status(task_id: str) -> dict[str, Any]:
    if task_id not in tasks:
        raise HTTPException(404, "no such task")
    return tasks[task_id]


@app.get("/api/data-collection/current-task")
async def current() -> dict[str, Any]:
    for task in tasks.values():
        if task["status"] == "running":
            return {"current_task": {key: task[key] for key in ("task_id", "status", "start_time")}}
    return {"current_task": None}
