"""What HAProxy's processes answer, read and added up over reloads."""

import pytest

from dcp.drivers.balancers.haproxy.answers import (
    Server,
    Workers,
    is_stopping,
    read_servers,
    read_sockets,
    read_traffic,
    read_workers,
)
from dcp.drivers.balancers.haproxy.configuration import BANDS
from dcp.drivers.balancers.haproxy.counters import add_up, from_document, not_less, to_document, to_keep
from dcp.kernel.errors import DriverError
from dcp.orchestration.services.model import ServiceKey
from dcp.orchestration.traffic.model import Traffic

FEED = ServiceKey("shop", "feed")
COLUMNS = (
    "pxname,svname,scur,stot,status,uweight,type,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,"
    "cli_abrt,srv_abrt"
)
STAT = f"""# {COLUMNS},
shop:feed,127.0.0.1:80,0,9,OPEN,,3,,,,,,,,,
shop:feed,feed-1:127.0.0.1:20001,2,9,no check,1,2,0,5,0,0,1,0,0,0,
shop:feed,feed-2:127.0.0.1:20002,0,0,MAINT,0,2,0,0,0,0,0,0,0,0,
shop:feed,BACKEND,2,9,UP,1,1,0,5,0,1,1,0,1,2,
dcp-next,BACKEND,0,4,UP,1,1,0,4,0,0,0,0,0,0,

"""
TABLE = """# table: dcp-latencies, type: string, size:10240, used:1
0x55f5885bd2a0: key=shop:feed use=1 exp=0 gpc0=4 gpc1=1 gpc14=2

"""
PROC = """#<PID>          <type>          <reloads>       <uptime>        <version>
6103            master          2 [failed: 0]   0d00h00m22s     2.6.12-1+deb12u4
# workers
6518            worker          0               0d00h00m00s     2.6.12-1+deb12u4
# old workers
6140            worker          2               0d00h00m22s     2.6.12-1+deb12u4
6200            worker          1               0d00h00m21s     2.6.12-1+deb12u4
# programs

"""


def counted(number: int, waiting: int = 0) -> Traffic:
    return Traffic(number, number - waiting, 0, waiting, (number,) * BANDS)


def test_processes_are_told_apart():
    assert read_workers(PROC) == Workers(reloads=2, current=6518, leaving=(6140, 6200))


def test_a_process_says_that_it_finishes():
    assert is_stopping("Pid: 7\nStopping: 1\nJobs: 3\n")
    assert not is_stopping("Pid: 7\nStopping: 0\nUnstoppable Jobs: 1\n")


def test_servers_and_sockets_are_read():
    assert read_servers(STAT) == (
        Server("feed-1:127.0.0.1:20001", 1, disabled=False, active_requests=2),
        Server("feed-2:127.0.0.1:20002", 0, disabled=True, active_requests=0),
    )
    assert read_sockets(STAT) == {("shop:feed", "127.0.0.1:80")}


def test_answers_that_were_cut_are_failures_and_clients_that_went_are_nothing():
    bands = (4, *(5 for _ in range(BANDS - 2)), 7)
    assert read_traffic(STAT, TABLE) == {FEED: Traffic(9, answered=3, failed=3, waiting=2, by_latency=bands)}


def test_a_service_that_was_never_asked_has_no_latencies():
    assert read_traffic(STAT, "# table: dcp-latencies\n")[FEED].by_latency == (0,) * BANDS


def test_an_answer_that_is_no_table_is_an_error():
    with pytest.raises(DriverError, match="No such proxy"):
        read_servers("No such proxy.\n")


def test_processes_are_added_up_and_one_that_has_ended_has_nothing_under_way():
    live = {2: {FEED: counted(10, waiting=1)}}
    kept = {1: {FEED: counted(5, waiting=2)}}
    assert add_up(live, kept) == {FEED: Traffic(15, 14, 0, 1, (15,) * BANDS)}


def test_sums_never_go_back_while_processes_are_replaced_and_end():
    arrived = []
    kept = to_keep({1: {FEED: counted(5)}}, {}, current=None)
    for live, current in (
        ({1: {FEED: counted(6)}}, 1),
        ({1: {FEED: counted(7)}, 2: {FEED: counted(1)}}, 2),
        ({2: {FEED: counted(2)}}, 2),
        ({2: {FEED: counted(3)}, 3: {FEED: counted(0)}}, 3),
        ({3: {FEED: counted(1)}}, 3),
    ):
        shown = not_less(live, kept)
        arrived.append(add_up(shown, kept)[FEED].arrived)
        kept = to_keep(shown, kept, current)
        kept = from_document("master", to_document("master", kept))
    assert arrived == [6, 8, 9, 10, 11]


def test_a_process_that_forgets_its_latencies_is_not_believed():
    before = {1: {FEED: counted(5)}}
    now = {1: {FEED: Traffic(6, 6, 0, 0, (0,) * BANDS)}}
    assert not_less(now, before) == {1: {FEED: Traffic(6, 6, 0, 0, (5,) * BANDS)}}


def test_another_master_starts_anew():
    assert from_document("second", to_document("first", {1: {FEED: counted(5)}})) == {}
    assert from_document("second", {}) == {}
