#!/bin/sh
# Asks a server how it is: sh status.sh URL SECRET. Needs curl, openssl and sed.
set -eu
url=$1 secret=$2

call() {
    curl -sS --fail -H 'Content-Type: application/json' "$url/JSONRPC/server/status" \
        -d "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"$1\", \"params\": [$2]}"
}

challenge=$(call get_challenges '' | sed 's/.*\["\([^"]*\)"\].*/\1/')
response=$(printf %s "$challenge" | openssl dgst -sha256 -hmac "$secret" | sed 's/.* //')
call overview "[\"$challenge\", \"$response\"]" |
    sed -n 's/.*"tools": *\([0-9]*\).*/tools: \1/p'
