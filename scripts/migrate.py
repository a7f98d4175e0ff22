"""Bring the database's schema up to date: `make migrate`."""

from scripts.command_line import open_database, run_command, sentences


def main() -> None:
    """Migrate the configured database."""
    with sentences("Not migrated"), open_database():
        pass
    print("The database's schema is up to date.")


if __name__ == "__main__":
    run_command(main)
