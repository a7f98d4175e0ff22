#!/bin/sh
# make build | run | down: the service in containers, by the compose that is installed.
set -eu
if [ -n "${COMPOSE:-}" ]; then :
elif docker compose version >/dev/null 2>&1; then COMPOSE="docker compose"
elif command -v podman-compose >/dev/null; then COMPOSE=podman-compose
else
    echo "Neither Docker's compose plugin nor podman-compose is installed." >&2
    exit 1
fi

command=$1
shift
case $command in
run)
    mkdir -p data/images # what is indexed where PICTURES is not set
    $COMPOSE up --detach database
    # Other machines are not answered without a key, and to a container all others are.
    listed=$($COMPOSE run --rm -T app keys list)
    case $listed in
    *"There is no key"*)
        $COMPOSE run --rm -T app keys create --namespace default --role admin --name first
        ;;
    esac
    $COMPOSE up --detach "$@"
    echo "Starting: http://${ADDRESS:-127.0.0.1}:${PORT:-8000}"
    ;;
*) $COMPOSE "$command" "$@" ;;
esac
