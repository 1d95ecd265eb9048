"""The logs: form, escaping, batching, rotation, full disks."""

import json
import logging
import os
import re
import time

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolserver.contexts import Context, bind
from toolserver.errors import StartError
from toolserver.linewriter import LineWriter, reopen_all
from toolserver.logs import AUDIT, AccessLog, ErrorLog, Logs, escape
from toolserver.message import Headers, Request
from toolserver.settings import LogSettings


class Lines(list):
    """Stands where a writer does and keeps the lines."""

    def write(self, line):
        self.append(line)


def wait_for(condition):
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.01)


def access_line(form="combined", status=200, sent=5, seconds=0.25, **request):
    lines = Lines()
    AccessLog(lines, form).write(Request(**request), status, sent, seconds)
    (line,) = lines
    return line


# --- the access log


def test_combined():
    line = access_line(
        path="/a",
        raw_path="/a",
        query_string="b=1",
        peer="192.0.2.1",
        headers=Headers([("User-Agent", "curl/8"), ("Referer", "http://x/")]),
        notes={"client": "ann"},
        status=404,
    )
    pattern = (
        r"192\.0\.2\.1 - ann \[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
        r'"GET /a\?b=1 HTTP/1\.1" 404 5 "http://x/" "curl/8"\n'
    )
    assert re.fullmatch(pattern, line)


def test_combined_of_a_bare_request():
    line = access_line(method="HEAD", http_version="1.0")
    assert line.startswith("unix: - - [")
    assert line.endswith('"HEAD / HTTP/1.0" 200 5 "-" "-"\n')


def test_combined_moment_follows_the_clock(monkeypatch):
    lines = Lines()
    log = AccessLog(lines)
    now = 1_700_000_000.0
    for each in (now, now + 0.5, now + 1):
        monkeypatch.setattr(time, "time", lambda each=each: each)
        log.write(Request(), 200, 0, 0.0)
    moments = [re.search(r"\[(.*)\]", line)[1] for line in lines]
    assert moments[0] == moments[1] != moments[2]
    assert time.mktime(time.strptime(moments[2][:20], "%d/%b/%Y:%H:%M:%S")) == now + 1


def test_json():
    line = access_line(
        form="json",
        raw_path="/a",
        host="h.example",
        peer="::1",
        notes={"client": "ann", "number": "r-1", "request_id": "r-1"},
    )
    found = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.pop("time"))
    assert found == {
        "request_id": "r-1",
        "trace_id": None,
        "peer": "::1",
        "client": "ann",
        "method": "GET",
        "host": "h.example",
        "target": "/a",
        "protocol": "HTTP/1.1",
        "status": 200,
        "sent": 5,
        "seconds": 0.25,
        "referer": None,
        "agent": None,
    }


def test_user_name_with_blanks_stays_one_field():
    assert " - ann\\x20b [" in access_line(notes={"client": "ann b"})


any_text = st.text(max_size=40) | st.text(st.sampled_from('a"\\\r\n\x00\x1b\x7f ü'))


@given(any_text, any_text, any_text)
def test_nothing_from_outside_breaks_a_combined_line(client, target, agent):
    line = access_line(
        raw_path=target,
        headers=Headers([("user-agent", agent)]),
        notes={"client": client},
    )
    assert line.isascii()
    assert line[:-1].isprintable()
    # A plain reader of quoted fields finds exactly the fields.
    pattern = r'unix: - (\S+) \[[^]]+\] "GET ([^"]*) HTTP/1\.1" 200 5 "-" "([^"]*)"\n'
    found = re.fullmatch(pattern, line)
    assert found

    def unescape(text):
        data = re.sub(
            rb"\\x(..)", lambda m: bytes.fromhex(m[1].decode()), text.encode()
        )
        return data.decode("utf-8", "surrogateescape")

    assert [unescape(each) for each in found.groups()] == [
        client or "-",
        target,
        agent or "-",
    ]


@given(any_text, any_text)
def test_nothing_from_outside_breaks_a_json_line(client, target):
    line = access_line(form="json", raw_path=target, notes={"client": client})
    assert line[:-1].isprintable()
    assert line.isascii()
    found = json.loads(line)
    assert (found["client"], found["target"]) == (client, target)


@pytest.mark.parametrize("form", ["combined", "json"])
def test_long_fields_are_cut(form):
    line = access_line(form=form, raw_path="/" + "a" * 5000)
    assert "a" * 1023 + "..." in line
    assert "a" * 1024 not in line


def test_bytes_that_are_no_utf8():
    assert escape("a\udcff") == "a\\xff"
    assert escape("ü") == "\\xc3\\xbc"
    assert escape("\ud800") == "\\x3f"


# --- the error log


@pytest.fixture
def records():
    """A logger and the lines that its records make."""
    lines = Lines()
    handler = ErrorLog(lines)
    logger = logging.Logger("toolserver.test")
    logger.addHandler(handler)
    return logger, lines


def test_record_outside_of_a_call(records):
    logger, lines = records
    logger.warning("disk %s", "full")
    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    (line,) = lines
    assert re.fullmatch(rf"{moment} WARNING toolserver\.test: disk full\n", line)


def test_record_names_the_call(records):
    logger, lines = records

    class Tool:
        namespace = "shop.orders"

    outer = Context(client="a\nb", request_id="r-7")
    with bind(outer.nested(Tool(), "place")):
        logger.error("failed")
    assert " [r-7 client=a\\x0ab method=shop.orders.place] failed\n" in lines[0]


def test_record_cannot_be_forged(records):
    logger, lines = records
    text = "x\n2026-01-01 00:00:00,000 ERROR root: forged \x1b[31m \u2028 grüße"
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("got %s", text)
    first, *others = "".join(lines).splitlines()
    assert first.endswith(
        "\\x0a2026-01-01 00:00:00,000 ERROR root: forged "
        "\\x1b[31m \\xe2\\x80\\xa8 grüße"
    )
    assert any("ValueError: x" in line for line in others)
    assert all(line.startswith("  ") for line in others)


def json_line(log):
    """What a logger writes in JSON, read again."""
    lines = Lines()
    logger = logging.Logger("toolserver.test")
    logger.addHandler(ErrorLog(lines, form="json"))
    log(logger)
    (line,) = lines
    assert line.endswith("}\n")
    assert line[:-1].isascii()
    assert line[:-1].isprintable()
    return json.loads(line)


def test_record_in_json():
    found = json_line(lambda logger: logger.warning("disk %s", "full"))
    moment = found.pop("time")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment)
    assert found == {
        "level": "warning",
        "logger": "toolserver.test",
        "message": "disk full",
    }


def test_record_in_json_names_the_call():
    class Tool:
        namespace = "shop.orders"

    def log(logger):
        outer = Context(client="a\nb", request_id="r-7")
        with bind(outer.nested(Tool(), "place")):
            logger.error("failed", stack_info=True)

    found = json_line(log)
    assert (found["request_id"], found["client"]) == ("r-7", "a\nb")
    assert found["method"] == "shop.orders.place"
    assert "test_logs.py" in found["stack"]


def test_record_in_json_has_its_traceback():
    def log(logger):
        try:
            raise ValueError("x" * 100_000)
        except ValueError:
            logger.exception("got it")

    found = json_line(log)
    assert found["traceback"].startswith("Traceback")
    assert len(found["traceback"]) < 20_000


def test_record_in_json_has_what_was_logged_beside_the_message():
    extra = {"order": 5, "paid": None, "rate": 0.5, "odd": float("nan")}
    extra |= {"tool": Lines, "long": "x" * 2000, "level": "forged"}
    found = json_line(lambda logger: logger.error("failed", extra=extra))
    assert (found["order"], found["paid"], found["rate"]) == (5, None, 0.5)
    assert (found["odd"], found["tool"]) == ("nan", str(Lines))
    assert found["long"] == "x" * 1024 + "..."
    assert found["level"] == "error"


@given(any_text, any_text)
def test_nothing_from_outside_breaks_a_json_record(client, text):
    def log(logger):
        with bind(Context(client=client or None, request_id="r")):
            logger.error("%s", text, extra={"told": text})

    found = json_line(log)
    assert found["message"] == text
    assert found.get("client", "") == client


def test_record_that_cannot_be_formatted(records, capsys):
    logger, lines = records
    logger.error("%d", "x")
    assert lines == []
    assert "Logging error" in capsys.readouterr().err


def test_record_from_a_native_thread(records):
    logger, lines = records
    pool = gevent.get_hub().threadpool
    with bind(Context(request_id="r-9")):
        pool.apply(logger.error, ("from there",))
    assert lines[0].endswith(" from there\n")


# --- the files


def test_lines_arrive_in_order(tmp_path):
    writer = LineWriter(tmp_path / "x.log")
    for number in range(1000):
        writer.write(f"{number}\n")
    writer.close()
    expected = "".join(f"{number}\n" for number in range(1000))
    assert (tmp_path / "x.log").read_text() == expected


def test_lines_are_written_while_the_loop_is_held(tmp_path):
    file = tmp_path / "x.log"
    writer = LineWriter(file)
    writer.write("a\n")
    sleep = gevent.monkey.get_original("time", "sleep")
    deadline = time.monotonic() + 10
    while not file.read_text() and time.monotonic() < deadline:
        sleep(0.01)
    assert file.read_text() == "a\n"
    writer.close()


def test_reopen_after_rotation(tmp_path):
    file = tmp_path / "x.log"
    writer = LineWriter(file)
    writer.write("old\n")
    wait_for(file.read_text)
    file.rename(tmp_path / "x.log.1")
    reopen_all()
    writer.write("new\n")
    writer.close()
    assert (tmp_path / "x.log.1").read_text() == "old\n"
    assert file.read_text() == "new\n"


def test_a_log_without_a_file_has_none_to_open_anew():
    reader, descriptor = os.pipe()
    writer = LineWriter(descriptor=descriptor, closes=True)
    writer.write("one\n")
    writer.reopen()
    writer.write("two\n")
    writer.close()
    with open(reader) as written:
        assert written.read() == "one\ntwo\n"


def test_records_that_a_filter_refuses_are_not_written(tmp_path):
    writer = LineWriter(tmp_path / "x.log")
    handler = ErrorLog(writer)
    handler.addFilter(lambda record: "no" not in record.msg)
    for text in ("no", "yes"):
        handler.handle(logging.makeLogRecord({"msg": text}))
    writer.close()
    assert (tmp_path / "x.log").read_text().count("\n") == 1


def test_close_twice(tmp_path):
    writer = LineWriter(tmp_path / "x.log")
    writer.close()
    writer.close()


def test_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(StartError, match="cannot be written: Is a directory"):
        LineWriter(tmp_path)


def test_a_log_that_cannot_be_reopened_goes_on_in_the_old_file(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    report = LineWriter(tmp_path / "report.log")
    writer = LineWriter(folder / "x.log", report_to=report)
    folder.rename(tmp_path / "moved")
    writer.reopen()
    writer.write("kept\n")
    writer.close()
    report.close()
    assert (tmp_path / "moved" / "x.log").read_text() == "kept\n"
    told = (tmp_path / "report.log").read_text()
    assert f"{folder}/x.log: cannot be written: No such file or directory" in told


def test_full_disk_loses_lines_and_reports_them(tmp_path):
    full = os.open("/dev/full", os.O_WRONLY)
    report = LineWriter(tmp_path / "report.log")
    writer = LineWriter(descriptor=full, report_to=report)
    writer.write("lost\n")
    writer.write("lost, too\n")
    wait_for(lambda: writer.lost == 2)
    # There is room again.
    room = os.open(tmp_path / "room.log", os.O_WRONLY | os.O_CREAT)
    os.dup2(room, full)
    writer.write("kept\n")
    writer.close()
    report.close()
    os.close(full)
    os.close(room)
    assert (tmp_path / "room.log").read_text() == "kept\n"
    assert (
        (tmp_path / "report.log")
        .read_text()
        .endswith(
            " WARNING toolserver.logs: standard error: 2 lines lost: "
            "No space left on device\n"
        )
    )


def test_too_many_lines_are_dropped_and_counted(tmp_path):
    writer = LineWriter(tmp_path / "x.log", bound=10)
    for _ in range(1000):
        writer.write("a\n")
    assert writer.lost > 900
    writer.close()
    text = (tmp_path / "x.log").read_text()
    assert text.count("a\n") == 1000 - writer.lost


def test_logs_of_a_server(tmp_path):
    logs = Logs(tmp_path, LogSettings(level="warning"), to_terminal=False)
    try:
        logging.getLogger("toolserver.a").warning("written")
        logging.getLogger("toolserver.a").info("not written")
        logs.access.write(Request(), 200, 0, 0.0)
    finally:
        logs.close()
    assert "written" in (tmp_path / "error.log").read_text()
    assert "not written" not in (tmp_path / "error.log").read_text()
    assert (tmp_path / "access.log").read_text().startswith("unix: - - [")


def test_the_error_log_of_a_server_in_json(tmp_path):
    settings = LogSettings(error_format="json")
    logs = Logs(tmp_path, settings, to_terminal=False)
    try:
        logging.getLogger("toolserver.a").warning("two\nlines", extra={"order": 5})
        # What the logs themselves have to say stands there in the same form.
        (tmp_path / "access.log").unlink()
        (tmp_path / "access.log").mkdir()
        reopen_all()
        wait_for(lambda: "goes on" in (tmp_path / "error.log").read_text())
    finally:
        logs.close()
    lines = (tmp_path / "error.log").read_text().splitlines()
    first, *_, last = map(json.loads, lines)
    assert (first["message"], first["order"]) == ("two\nlines", 5)
    assert (last["level"], last["logger"]) == ("warning", "toolserver.logs")
    assert "the old file goes on" in last["message"]


def test_who_is_refused_stands_in_the_audit_log_alone(tmp_path):
    logs = Logs(tmp_path, LogSettings(level="error"), to_terminal=False)
    try:
        logging.getLogger(AUDIT).info("account ann: added")
        logging.getLogger(AUDIT).warning("refused %s", "1.2.3.4\nforged")
    finally:
        logs.close()
    lines = (tmp_path / "audit.log").read_text().splitlines()
    assert [line.partition(" toolserver.audit: ")[2] for line in lines] == [
        "account ann: added",
        "refused 1.2.3.4\\x0aforged",
    ]
    assert "ann" not in (tmp_path / "error.log").read_text()


def test_logs_without_access_log(tmp_path):
    logs = Logs(tmp_path, LogSettings(access=False), to_terminal=False)
    logs.close()
    assert logs.access is None
    assert not (tmp_path / "access.log").exists()
