#!/usr/bin/env bash
# The entry point of the test bed's PostgreSQL images: it honours the variables that people know from the official one.
set -euo pipefail

fail() {
    echo "entry point: $*" >&2
    exit 1
}

# The value of a variable, or of the file that NAME_FILE names.
value() {
    local name=$1 file="${1}_FILE"
    if [ -n "${!file:-}" ]; then
        [ -z "${!name:-}" ] || fail "both $name and $file are set"
        printf '%s' "$(< "${!file}")"
    else
        printf '%s' "${!name:-${2:-}}"
    fi
}

as_postgres() {
    setpriv --reuid postgres --regid postgres --clear-groups env HOME=/var/lib/postgresql "$@"
}

initialise() {
    local user password database method folder script
    user=$(value POSTGRES_USER postgres)
    password=$(value POSTGRES_PASSWORD)
    database=$(value POSTGRES_DB "$user")
    method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
    [ -n "$password" ] || [ "$method" = trust ] || fail "POSTGRES_PASSWORD is not set"
    folder=$(mktemp -d)
    chmod 700 "$folder"
    printf '%s\n' "$password" > "$folder/password"
    chown -R postgres:postgres "$folder"
    # shellcheck disable=SC2086  # the arguments are meant to be split
    as_postgres initdb --no-sync --pgdata "$PGDATA" --username "$user" --encoding UTF8 --locale C \
        ${password:+--pwfile "$folder/password"} --auth-local trust --auth-host "$method" ${POSTGRES_INITDB_ARGS:-}
    rm -r "$folder"
    echo "host all all all $method" >> "$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
    as_postgres pg_ctl --pgdata "$PGDATA" --wait --silent --options "-c listen_addresses= -c fsync=off" start
    if [ "$database" != postgres ]; then
        as_postgres psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 -v name="$database" --username "$user" postgres \
            <<< 'CREATE DATABASE :"name"'
    fi
    for script in /docker-entrypoint-initdb.d/*; do
        case $script in
            *.sh) as_postgres POSTGRES_USER="$user" POSTGRES_DB="$database" bash "$script" ;;
            *.sql) as_postgres psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 --username "$user" --file "$script" "$database" ;;
            *.sql.gz)
                gzip -dc "$script" | as_postgres psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 --username "$user" "$database"
                ;;
        esac
    done
    as_postgres pg_ctl --pgdata "$PGDATA" --wait --silent --mode fast stop
}

if [ "${1:0:1}" = - ]; then
    set -- postgres "$@"
fi
if [ "$1" != postgres ]; then
    exec "$@"
fi
mkdir -p "$PGDATA"
chown -R postgres:postgres "$PGDATA"
chmod 700 "$PGDATA"
[ -s "$PGDATA/PG_VERSION" ] || initialise
cd "$PGDATA"
exec setpriv --reuid postgres --regid postgres --clear-groups env HOME=/var/lib/postgresql "$@"
