"""What a transaction sees, as text: equal texts of one database mean that nothing was written.

On a primary it is Postgres's snapshot. That of a hot standby does not name the transactions which
are not committed yet, and stays the same when one of them commits. So on a standby the text is a
snapshot that has ended where the oldest of them begins, and the position (LSN) in the log up to
which all was replayed: `<xmin>:<xmin>:@<LSN>`. Whoever reads later sees at least that.
"""

REPLAYED = "CASE WHEN pg_is_in_recovery() THEN CAST(pg_last_wal_replay_lsn() AS text) ELSE '' END"
REPLAYED_SETTING = "image_search.replayed"  # holds REPLAYED from before a statement's own snapshot

_ON_STANDBY = "concat(pg_snapshot_xmin({snapshot}), ':', pg_snapshot_xmin({snapshot}), ':@', {lsn})"

SNAPSHOT = f"""
CASE WHEN pg_is_in_recovery()
THEN {_ON_STANDBY.format(snapshot="pg_current_snapshot()", lsn="pg_last_wal_replay_lsn()")}
ELSE CAST(pg_current_snapshot() AS text) END
"""
"""An SQL expression for what later statements see. A statement's own snapshot may be older."""

SNAPSHOT_OF_STATEMENT = f"""
CASE WHEN current_setting('{REPLAYED_SETTING}', true) <> ''
THEN {
    _ON_STANDBY.format(snapshot="now.snapshot", lsn=f"current_setting('{REPLAYED_SETTING}', true)")
}
ELSE CAST(now.snapshot AS text) END
"""
"""The same of a statement whose snapshot is `now.snapshot`, after REPLAYED was set."""


def visible(snapshot: str) -> str:
    """The part of the text that Postgres takes as a pg_snapshot: it sees no more than was seen."""
    return snapshot.partition("@")[0]


def oldest(snapshot: str) -> int:
    """The first transaction that had not ended."""
    return int(snapshot.partition(":")[0])
