"""`manage.py csvfolder preview` shows how the source `csv` would read a folder."""

import json
import zipfile
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command

from tasks_app.management import csv_preview
from tests.sources.csv_files import akshare_csv, baostock_csv, english_csv, write_file


def run_preview(capsys, *arguments):
    """Returns what the command prints, and its exit code."""
    try:
        call_command("csvfolder", "preview", *map(str, arguments))
    except SystemExit as end:
        return capsys.readouterr().out, end.code
    return capsys.readouterr().out, 0


def test_readable_files_are_shown(tmp_path, capsys):
    write_file(tmp_path, "600000.csv", encoding="gbk")
    write_file(tmp_path, "sz.000001.csv", baostock_csv("sz.000001"))
    output, exit_code = run_preview(capsys, tmp_path)
    assert exit_code == 0
    for text in ("CN 600000", "GBK", "lots of 100", "BaoStock", "2024-01-02 – 2024-01-07", "+ 1 suspended"):
        assert text in output
    assert "2 files can be read (bars: 11)" in output


def test_unreadable_files_are_shown_and_exit_with_1(tmp_path, capsys):
    write_file(tmp_path, "600000.csv")
    write_file(tmp_path, "600001.csv")
    write_file(tmp_path, "notes.doc")
    write_file(tmp_path, "notes.txt", "Bought on Monday.\n")
    output, exit_code = run_preview(capsys, tmp_path)
    assert exit_code == 1
    assert "600001.csv" in output
    assert "2–7" in output
    assert "neither CSV, text, Excel, Parquet" in output
    assert "no column for day, open, high, low, close, volume" in " ".join(output.split())
    assert "2 ignored" in output


def test_json_has_everything(tmp_path, capsys):
    write_file(tmp_path, "600000.csv", akshare_csv(unit=1))
    write_file(tmp_path, "CN/000001.csv", "")
    write_file(tmp_path, "AAPL.csv", english_csv())
    output, exit_code = run_preview(capsys, tmp_path, "--json", "--market", "CN")
    payload = json.loads(output)
    assert exit_code == 1
    assert (payload["readable"], payload["unreadable"], payload["bars"]) == (1, 1, 6)
    good, bad = payload["files"]
    assert bad["problems"] == [{"line": 0, "code": "no_header", "message": "the file is empty"}]
    assert (good["file"], good["unit_known_by"], good["shares_per_volume"]) == ("600000.csv", "against", 1)


def test_shared_files_and_what_a_collection_would_refuse(tmp_path, capsys, monkeypatch):
    head = "code,date,open,high,low,close,volume,amount"
    rows = ("600000,2024-01-02,10,11,9,10,500,5000", "000001,2024-01-02,10,9,9,10,500,4500")
    write_file(tmp_path, "day.csv", "\n".join([head, *rows, "110059,2024-01-02,10,11,9,10,500,5000"]))
    write_file(tmp_path, "600000.csv", akshare_csv())
    payload = json.loads(run_preview(capsys, tmp_path, "--json")[0])
    single, shared = payload["files"]
    assert single["problems"][0]["message"] == (
        "day.csv and 600000.csv have different values of 600000 on 2024-01-02"
    )
    assert (shared["rows"], shared["bars"], shared["stocks"]) == (3, 1, 2)
    assert shared["refused"] == {"prices_out_of_order": 1}
    assert [note["code"] for note in shared["notes"]] == ["other_codes"]
    monkeypatch.setattr(csv_preview, "MAX_TOTAL_BYTES", 10)
    payload = json.loads(run_preview(capsys, tmp_path, "--json")[0])
    assert [file["problems"] and file["problems"][0]["code"] for file in payload["files"]] == [[], "too_much"]


def test_archives_are_shown_by_what_can_be_read_in_them(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "market.zip", "w") as archive:
        archive.writestr("600000.csv", akshare_csv())
        archive.writestr("600004.csv", akshare_csv())  # of another stock than its name says
        archive.writestr("notes.md", "x")
    output, exit_code = run_preview(capsys, tmp_path, "--json")
    good, bad = json.loads(output)["files"]
    assert (exit_code, good["file"], good["stocks"], good["bars"]) == (1, "market.zip", 1, 6)
    assert (good["shares_per_volume"], good["unit_known_by"]) == (100, "amount")
    assert [note["code"] for note in good["notes"]] == ["left_out"]
    assert (bad["file"], bad["problems"][0]["code"]) == ("market.zip: 600004", "other_code")
    output, _ = run_preview(capsys, tmp_path)
    assert "1 file can be read (bars: 6)" in output


def test_preview_in_chinese(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    write_file(tmp_path, "600000.csv", "")
    output, _ = run_preview(capsys, tmp_path)
    assert "文件为空" in output


def test_preview_needs_a_folder(settings, tmp_path):
    settings.COLLECTOR = replace(settings.COLLECTOR, csv_dir="")
    with pytest.raises(CommandError, match="COLLECTOR_CSV_DIR"):
        call_command("csvfolder", "preview")
    with pytest.raises(CommandError, match="No such file"):
        call_command("csvfolder", "preview", str(tmp_path / "gone"))


def test_line_ranges():
    assert csv_preview.line_ranges([2, 3, 4, 6, 8, 9]) == "2–4, 6, 8–9"
    assert csv_preview.line_ranges([0]) == ""
