"""A separate worker: `make worker`, on this machine or another with the same DATABASE_URL."""

import signal
import sys
import threading

from app import logs
from app.errors import StartError
from app.runtime.assembly import open_services
from app.runtime.shutdown import exit_process
from app.setting_names import warn_of_unknown_variables
from app.settings import Settings


def main() -> None:
    """Work on the queue until a signal arrives."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: stop.set())
    try:
        settings = Settings.load()
        logs.configure(settings.log_format)
        warn_of_unknown_variables(Settings.model_fields)
        with open_services(settings) as services, services.working():
            print(f"Working: {services.worker.name} ({services.model_name})", flush=True)
            while not stop.wait(1):  # signals are handled between two waits
                pass
    except StartError as error:
        sys.exit(f"Cannot start. {error}")
    print("Stopped.", flush=True)
    exit_process()


if __name__ == "__main__":
    main()
