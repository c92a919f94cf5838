"""The pages of uploads: files are checked, shown, and taken over into the folder of the source `csv`."""

import html
import json
import re
import zipfile
from dataclasses import replace
from io import BytesIO
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tasks_app.admin.uploads import views
from tasks_app.lifecycle import audit
from tasks_app.models import ColumnMapping, Upload
from tasks_app.models.audit import AuditEvent
from tasks_app.quotes import uploads
from tasks_app.sources.base import Request
from tasks_app.sources.csv_folder.source import CsvSource
from tests.admin.helpers import messages_of, staff_client, superuser_client, text_of, url
from tests.factories import make_user
from tests.sources.csv_files import akshare_csv, baostock_csv, day, write_file

pytestmark = pytest.mark.django_db
UNKNOWN = (
    "dt,px_open,px_high,px_low,px_last,qty\n2024-01-02,10,11,9.5,10.5,1000\n2024-01-03,10,11,9.5,10.5,0\n"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    path = tmp_path / "quotes"
    path.mkdir()
    monkeypatch.setattr(settings, "COLLECTOR", replace(settings.COLLECTOR, csv_dir=str(path)))
    return path


@pytest.fixture
def client(folder):
    return staff_client("upload_files")


def upload(client, name="600000.csv", content=None, **fields):
    """Uploads a file; returns the response."""
    content = akshare_csv() if content is None else content
    content = content if isinstance(content, bytes) else content.encode()
    return client.post(url("uploads"), {"file": SimpleUploadedFile(name, content), "market": "", **fields})


def check(client, row):
    while client.post(url("upload_check", row.pk)) and Upload.objects.get(pk=row.pk).state == "checking":
        continue


def staged(client, *args, **fields):
    """Uploads a file and checks it; returns its row."""
    upload(client, *args, **fields)
    row = Upload.objects.latest("pk")
    check(client, row)
    row.refresh_from_db()
    return row


def act(client, row, action, **fields):
    return client.post(url("upload", row.pk), {"action": action, **fields})


def start_link(client, row):
    """Returns the address to which the button of a file that was taken over leads."""
    button = r'href="([^"]+)"[^>]*>\s*Collect now'
    found = re.search(button, client.get(url("upload", row.pk)).content.decode())
    return urlsplit(html.unescape(found[1]))


def zip_of(**members):
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for code, content in members.items():
            archive.writestr(f"{code.removeprefix('c')}.csv", content)
    return packed.getvalue()


def test_file_waits_where_no_source_reads_it(client, folder):
    response = upload(client)
    row = Upload.objects.get()
    assert response.url == url("upload", row.pk)
    assert (row.state, row.user_name, row.name) == ("checking", "staff", "600000.csv")
    assert [path.name for path in folder.iterdir()] == [".uploads"]
    assert not CsvSource(folder).knows(("CN", "", "600000"))


def test_preview_says_what_is_taken_and_left_out_and_why(client):
    row = staged(client, "sh.600000.csv", baostock_csv())
    text = text_of(client.get(url("upload", row.pk)))
    for words in (
        "Rows 6 Bars taken 5 Rows left out 1",
        "days without trading (suspended) 1",
        "Stocks 1 (600000)",
        "2024-01-02 – 2024-01-07",
        "BaoStock UTF-8",
        "shares, proved by the amounts",
        "Columns not used isST",
    ):
        assert words in text
    assert "600000.csv market according to the codes · unadjusted" in text_of(client.get(url("uploads")))


def test_preview_in_chinese(client):
    client.cookies["django_language"] = "zh-hans"
    row = staged(client, "sh.600000.csv", baostock_csv())
    assert "停牌" in text_of(client.get(url("upload", row.pk)))


def test_taken_file_is_read_by_the_source_and_logged(client, folder):
    row = staged(client)
    response = act(client, row, "take")
    assert response.url == url("upload", row.pk)
    assert "Taken over as 600000.csv. Bars: 6, rows left out: 0." in messages_of(response)
    assert len(CsvSource(folder).fetch(Request("CN", "600000", day(0), day(9)))) == 6
    row.refresh_from_db()
    assert (row.state, row.ended_at is None) == ("taken", False)
    assert list(folder.joinpath(".uploads").iterdir()) == []
    told = AuditEvent.objects.filter(subject="upload").order_by("pk")
    log = [(event.verb, audit.translated(event.detail), event.object_name) for event in told]
    assert log == [
        ("created", "Uploaded.", "600000.csv"),
        ("changed", "Taken over as 600000.csv. Bars: 6, rows left out: 0.", "600000.csv"),
    ]


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        pytest.param(
            *("600000.csv", {}, {"market": "CN", "adjust": "", "codes": "600000"}), marks=pytest.mark.soak
        ),
        ("600000_qfq.csv", {}, {"market": "CN", "adjust": "qfq", "codes": "600000"}),
        ("00700.csv", {"market": "HK"}, {"market": "HK", "adjust": "", "codes": "00700"}),
    ],
)
def test_taken_file_leads_to_the_start_form_filled_in(folder, name, fields, expected):
    client = staff_client("upload_files", "start_task")
    row = staged(client, name, akshare_csv(name[: name.index(".")].removesuffix("_qfq")), **fields)
    act(client, row, "take")
    link = start_link(client, row)
    days = {"start_date": day(0).isoformat(), "end_date": day(5).isoformat()}
    assert dict(parse_qsl(link.query, keep_blank_values=True)) == {"source": "csv", **expected, **days}
    values = client.get(link.geturl()).context["form"].initial
    assert (values["source"], values["stock_codes"]) == ("csv", expected["codes"])
    assert (values["start_date"], values["end_date"]) == (day(0), day(5))


def test_file_of_many_stocks_leads_to_a_start_of_the_whole_folder(folder):
    client = staff_client("upload_files", "start_task")
    codes = [f"60000{n}" for n in (0, 4, 6, 7, 8, 9)]
    row = staged(client, "market.zip", zip_of(**{f"c{code}": akshare_csv(code) for code in codes}))
    act(client, row, "take")
    assert "codes" not in parse_qs(start_link(client, row).query)


def test_start_is_offered_only_to_whom_may_start(client):
    row = staged(client)
    act(client, row, "take")
    assert "Collect now" not in text_of(client.get(url("upload", row.pk)))


def test_list_says_that_a_file_is_checked_on_its_own_page(client, monkeypatch):
    monkeypatch.setattr(views, "SECONDS", -1.0)
    upload(client, "market.zip", zip_of(c600000=akshare_csv(), c600004=akshare_csv("600004")))
    row = Upload.objects.get()
    link = f'<a href="{url("upload", row.pk)}" class="sc-link">'
    page = client.get(url("uploads")).content.decode()
    assert f"{link}Not checked yet: open it to check</a>" in page
    assert "being checked" not in page
    client.post(url("upload_check", row.pk))
    assert f"{link}Checked 1 of 2: open it to go on</a>" in client.get(url("uploads")).content.decode()
    client.post(url("upload_check", row.pk))
    assert "open it to" not in client.get(url("uploads")).content.decode()


def test_list_in_chinese_says_what_is_unchecked(client):
    client.cookies["django_language"] = "zh-hans"
    upload(client)
    assert "尚未检查：打开即开始检查" in text_of(client.get(url("uploads")))


def test_audit_tells_each_reader_in_his_language(client):
    act(client, staged(client), "take")
    reader = superuser_client()
    reader.cookies["django_language"] = "zh-hans"
    page = text_of(reader.get(url("audit")))
    assert "已导入为 600000.csv。" in page and "已上传。" in page and "Taken over" not in page
    assert "已导入为 600000.csv。" in reader.get(url("audit_csv")).getvalue().decode()


def test_chosen_market_and_adjustment_are_folders(client, folder):
    row = staged(client, market="CN", adjust="qfq")
    act(client, row, "take")
    assert (folder / "CN" / "qfq" / "600000.csv").is_file()


def test_unknown_columns_are_named_and_remembered(client, folder):
    row = staged(client, "600000.csv", UNKNOWN)
    page = client.get(url("upload", row.pk))
    assert "no column for day, open, high, low, close, volume" in text_of(page)
    assert "Take it over</" not in page.content.decode()
    meanings = ("day", "open", "high", "low", "close", "volume(lots)")
    act(client, row, "columns", **{f"column-{n}": each for n, each in enumerate(meanings)})
    check(client, row)
    row.refresh_from_db()
    assert (row.state, row.report["bars"]) == ("checked", 2)
    assert "lots of 100, by the heading" in text_of(client.get(url("upload", row.pk)))
    act(client, row, "take")
    assert CsvSource(folder).fetch(Request("CN", "600000", day(0), day(0)))[0].volume == 100_000
    other = staged(client, "600004.csv", UNKNOWN)
    assert other.report["bars"] == 2
    mapping = ColumnMapping.objects.get()
    assert (mapping.header[0], mapping.meanings["qty"], mapping.user_name) == ("dt", "volume(lots)", "staff")


def test_columns_that_do_not_exist_are_refused(client):
    row = staged(client, "600000.csv", UNKNOWN)
    response = act(client, row, "columns", **{"column-0": "rm -rf"})
    assert "the columns are not those of this file" in messages_of(response)
    assert not ColumnMapping.objects.exists()


def test_large_file_is_checked_in_parts(client, monkeypatch):
    monkeypatch.setattr(views, "SECONDS", -1.0)
    content = zip_of(**{f"c60000{n}": akshare_csv(f"60000{n}") for n in (0, 4, 6)}, cnotes="x")
    upload(client, "market.zip", content)
    row, seen = Upload.objects.get(), []
    while not seen or not seen[-1]["is_done"]:
        response = client.post(url("upload_check", row.pk), headers={"X-Requested-With": "XMLHttpRequest"})
        seen.append(json.loads(response.content))
    assert [(each["done"], each["total"]) for each in seen] == [(1, 3), (2, 3), (3, 3)]
    text = text_of(client.get(url("upload", row.pk)))
    assert "Rows 18 Bars taken 18 Rows left out 0" in text
    assert "files left out of the archive: 1, such as notes.csv" in text


def test_stock_that_differs_from_the_folder_is_told(client, folder):
    write_file(folder, "600000.csv", akshare_csv())
    row = staged(
        client,
        "600000_2.zip",
        zip_of(c600000=akshare_csv().replace("10.5", "10.6"), c600004=akshare_csv("600004")),
    )
    assert (row.report["stocks"], row.report["unreadable"], row.report["bars"]) == (1, 1, 6)
    assert "600000.csv and COLLECTOR_CSV_DIR have different values of 600000" in text_of(
        client.get(url("upload", row.pk))
    )


def test_existing_file_is_replaced_only_when_asked(client, folder):
    write_file(folder, "600000.csv", akshare_csv(rows=2))
    row = staged(client)
    assert "Replace the file of this name" in text_of(client.get(url("upload", row.pk)))
    assert "a file of this name is there already" in messages_of(act(client, row, "take"))
    assert (folder / "600000.csv").read_text() == akshare_csv(rows=2)
    act(client, row, "take", replace="yes")
    assert (folder / "600000.csv").read_text() == akshare_csv()
    replaced = "Taken over as 600000.csv, in place of any earlier file. Bars: 6, rows left out: 0."
    assert audit.translated(AuditEvent.objects.latest("pk").detail) == replaced


def test_unreadable_file_is_not_taken(client, folder):
    row = staged(client, "600000.csv", "Bought on Monday.\n")
    assert "can&#x27;t be read" in text_of(client.get(url("uploads")))
    assert "nothing of it can be taken" in messages_of(act(client, row, "take"))
    assert not (folder / "600000.csv").exists()


def test_discarded_file_is_gone(client, folder):
    row = staged(client)
    act(client, row, "discard")
    assert list(folder.joinpath(".uploads").iterdir()) == []
    assert Upload.objects.get().state == "discarded"
    for action in ("take", "discard"):
        assert "it has changed meanwhile" in messages_of(act(client, row, action))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("600000.exe", "neither CSV, text, Excel, Parquet"),
        (".htaccess", "the name may have letters"),
        ("~600000.csv", "the name may have letters"),
        ("a;b.csv", "the name may have letters"),
        ("bj.000001.csv", "the name says BSE"),
        ("600000_qfq.csv.php", "neither CSV"),
    ],
)
def test_name_that_is_not_plain_is_refused(client, folder, name, sentence):
    response = upload(client, name)
    assert sentence in messages_of(response)
    assert not Upload.objects.exists()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["../../600000.csv", "..\\600000.csv", "/etc/600000.csv"])
def test_path_in_a_name_leads_nowhere(client, folder, name):
    body = (
        "--x\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n{akshare_csv()}\r\n--x--\r\n'
    )
    client.post(url("uploads"), body, content_type="multipart/form-data; boundary=x")
    row = Upload.objects.get()
    check(client, row)
    act(client, row, "take")
    assert sorted(path.name for path in folder.parent.rglob("*.csv")) == ["600000.csv"]
    assert (folder / "600000.csv").is_file()


def test_folder_that_is_a_link_is_not_followed(client, folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (folder / "CN").symlink_to(tmp_path / "elsewhere")
    row = staged(client, market="CN")
    assert "can't be written" in messages_of(act(client, row, "take"))
    assert list((tmp_path / "elsewhere").iterdir()) == []
    row.refresh_from_db()
    assert row.state == "checked"


def test_body_beyond_the_limit_is_not_read(client, monkeypatch):
    monkeypatch.setattr(settings, "COLLECTOR", replace(settings.COLLECTOR, csv_upload_mb=1))
    response = upload(client, content=b"0" * (2**20 + 100_000))
    assert response.status_code == 413
    assert "larger than 1 MB in all" in text_of(response)
    response = client.post(
        url("uploads"),
        {"file": SimpleUploadedFile("a.csv", b"0" * (2**20 + 100_000))},
        headers={"X-Requested-With": "XMLHttpRequest"},
    )
    assert json.loads(response.content)["problem"].startswith("The files are larger than 1 MB")
    assert "a.csv: it is larger than 1 MB." in messages_of(upload(client, "a.csv", b"0" * (2**20 + 1)))
    assert not Upload.objects.exists()


def test_full_disk_is_said(client, monkeypatch):
    monkeypatch.setattr(uploads, "MIN_FREE_BYTES", 2**70)
    assert "no room" in messages_of(upload(client))
    monkeypatch.undo()


def test_several_files_at_once(client):
    files = [SimpleUploadedFile(f"60000{n}.csv", akshare_csv(f"60000{n}").encode()) for n in (0, 4)]
    response = client.post(url("uploads"), {"file": [*files, SimpleUploadedFile("x.doc", b"x")]})
    assert response.url == url("uploads")
    assert "x.doc: the file is neither" in messages_of(response)
    assert list(Upload.objects.order_by("pk").values_list("name", flat=True)) == ["600000.csv", "600004.csv"]


def test_empty_form_and_empty_file_are_refused(client):
    assert "Choose a file." in text_of(client.post(url("uploads"), {"market": ""}))
    assert "the file is empty" in messages_of(upload(client, content=b""))


def test_old_waiting_files_are_forgotten(client, folder, monkeypatch):
    staged(client)
    monkeypatch.setattr(uploads, "MAX_AGE", -uploads.MAX_AGE)
    upload(client, "600004.csv", akshare_csv("600004"))
    assert list(Upload.objects.order_by("pk").values_list("state", flat=True)) == ["discarded", "checking"]
    assert len(list(folder.joinpath(".uploads").iterdir())) == 1


def test_check_of_a_stale_row_changes_nothing(client, folder):
    upload(client)
    row = Upload.objects.get()
    Upload.objects.update(version=7)
    uploads.UploadFolder(settings.COLLECTOR).check(row, day(99), 5.0)
    assert Upload.objects.get().report == {}


def test_pages_need_their_permission_and_csrf(folder):
    client = staff_client("start_task", "delete_source_data")
    assert upload(client).status_code == 403
    assert client.get(url("uploads")).status_code == 403
    assert "uploads/" not in client.get(url("index")).content.decode()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(make_user("up", "upload_files", is_staff=True))
    assert upload(strict).status_code == 403
    assert not Upload.objects.exists()


def test_page_without_a_folder_says_what_to_set(client, monkeypatch):
    monkeypatch.setattr(settings, "COLLECTOR", replace(settings.COLLECTOR, csv_dir=""))
    assert "COLLECTOR_CSV_DIR" in text_of(client.get(url("uploads")))
    assert upload(client).status_code == 200
    assert client.get(url("upload", 1)).status_code == 404


def test_unit_in_a_heading_is_kept_when_other_columns_are_named(client):
    content = UNKNOWN.replace("dt,px_open,px_high,px_low,px_last,qty", "dt,open,high,low,close,volume(lots)")
    row = staged(client, "600000.csv", content)
    chosen = ("day", "open", "high", "low", "close", "volume")  # as the page proposes, but for the first
    act(client, row, "columns", **{f"column-{n}": each for n, each in enumerate(chosen)})
    assert ColumnMapping.objects.get().meanings == {"dt": "day"}
    check(client, row)
    assert Upload.objects.get().report["units"] == {"100|heading": 1}
