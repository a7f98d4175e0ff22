#!/bin/sh
# Start Postgres on its volume; make user, password and database the first time.
set -eu
folder=/var/lib/postgresql/data
if [ ! -e "$folder/PG_VERSION" ]; then
    echo "$POSTGRES_PASSWORD" >/tmp/password
    initdb --pgdata "$folder" --username "$POSTGRES_USER" --pwfile /tmp/password \
        --auth scram-sha-256 --encoding utf8 >/dev/null
    rm /tmp/password
    echo "host all all all scram-sha-256" >>"$folder/pg_hba.conf"
    pg_ctl start --pgdata "$folder" --wait -o "-h '' -k /tmp" >/dev/null
    PGPASSWORD=$POSTGRES_PASSWORD createdb --host /tmp --username "$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl stop --pgdata "$folder" --wait >/dev/null
fi
exec postgres -D "$folder" -c listen_addresses='*' -c unix_socket_directories=/tmp
