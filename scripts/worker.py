"""A separate worker: `make worker`, on this machine or another with the same DATABASE_URL."""

import signal
import threading

from app import logs
from app.runtime.assembly import open_services
from app.setting_names import warn_of_unknown_variables
from app.settings import Settings
from scripts.command_line import open_settings, run_command, sentences


def main() -> None:
    """Work on the queue until a signal arrives."""
    with sentences("Cannot start"):
        settings = open_settings()
        logs.configure(settings.log_format, settings.log_level)
        warn_of_unknown_variables(Settings.model_fields)
        with open_services(settings) as services:
            stop = _stop_at_signals()
            with services.working():
                print(f"Working: {services.worker.name} ({services.model_name})", flush=True)
                while not stop.wait(1):  # signals are handled between two waits
                    pass
    print("Stopped.", flush=True)


def _stop_at_signals() -> threading.Event:
    """An event that signals set, now that ending is a matter of the work in progress."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: stop.set())
    return stop


if __name__ == "__main__":
    run_command(main)
