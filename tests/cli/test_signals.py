"""Tests of SIGTERM and SIGHUP: they end a block as Ctrl+C does, once, and only where they are not ignored."""

import os
import signal
import threading
import time
from contextlib import suppress

import pytest
import torch

from ddbench import errors
from ddbench.cli import main as program
from ddbench.cli.main import main
from ddbench.cli.signals import SIGNALS, EndedBySignal, signals_end_the_run
from ddbench.host.kept_files import is_kept_whole, save_kept
from ddbench.inputs import tensors
from ddbench.registry import METHODS

SUITE = """
name: s
protocol: quick
datasets: [digits]
networks: [convnet-d1-w8]
methods: [random_real]
ipc: [1, 2]
"""


@pytest.fixture(autouse=True)
def usual_signals():
    """What a terminal's shell sets; one that runs this in the background would have Ctrl+C ignored."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def tell(number):
    os.kill(os.getpid(), number)
    time.sleep(5)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_block(number):
    with pytest.raises(EndedBySignal) as caught, signals_end_the_run():
        tell(number)
    assert caught.value.number == number
    assert caught.value.name == number.name
    assert signal.getsignal(number) == signal.SIG_DFL


def test_a_block_that_swallows_it_can_be_asked():
    with signals_end_the_run() as arrived, suppress(KeyboardInterrupt):
        tell(signal.SIGTERM)
    assert arrived == [signal.SIGTERM]


def test_the_last_resort_is_off_once_the_block_has_ended():
    before = threading.active_count()
    with pytest.raises(EndedBySignal), signals_end_the_run():
        tell(signal.SIGHUP)
    give_up = time.monotonic() + 5
    while threading.active_count() > before:
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_an_ignored_signal_stays_ignored():
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_end_the_run() as arrived:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.05)
        assert arrived == []
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, old)


def test_another_thread_handles_no_signals():
    seen = []

    def body():
        with signals_end_the_run() as arrived:
            seen.append((arrived, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [([], signal.SIG_DFL)]


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (signal.SIGINT, 130, "interrupted; rerun the same command to continue"),
        (signal.SIGTERM, 143, "ended by SIGTERM; rerun the same command to continue"),
        (signal.SIGHUP, 129, "ended by SIGHUP; rerun the same command to continue"),
    ],
)
def test_the_program_says_in_one_line_that_it_was_ended(capsys, monkeypatch, number, code, words):
    monkeypatch.setattr(program, "app", lambda **options: tell(number))
    assert main(["list"]) == code
    assert capsys.readouterr().err == f"ddbench: {words}\n"


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_library_that_makes_an_error_of_the_signal_fails_no_cell(tmp_path, monkeypatch, number, code):
    def interrupted(*_):
        try:
            tell(number)
        except KeyboardInterrupt:
            raise ValueError("could not determine the shape") from None

    monkeypatch.setattr(METHODS.get("random_real"), "distill", interrupted)
    (tmp_path / "s.yaml").write_text(SUITE)
    assert main(["run", str(tmp_path / "s.yaml"), "--results", str(tmp_path / "results"), "--device", "cpu"]) == code
    assert not list(tmp_path.glob("results/*/result.json"))


def test_a_file_read_while_a_signal_arrives_is_not_damaged(tmp_path, monkeypatch):
    path = tmp_path / "expert.safetensors"
    save_kept({"x": torch.zeros(3)}, path)

    def interrupted(*_, **__):
        raise ValueError("could not determine the shape")

    monkeypatch.setattr(tensors, "safe_open", interrupted)
    monkeypatch.setattr(errors, "_signals", [signal.SIGTERM])
    with pytest.raises(KeyboardInterrupt):
        is_kept_whole(path)
    assert path.exists()
