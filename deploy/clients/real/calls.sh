#!/usr/bin/env bash
# The calls of README.md with curl, and two that only curl makes: an offer of HTTP/2, and Expect: 100-continue.
set -euo pipefail
url=$1 token=$2 product=$3
order="{\"items\":[{\"product_id\":\"$product\",\"quantity\":1}],\"shipping_address\":{\"name\":\"A\",\"line1\":\"1\",\"city\":\"L\",\"postal_code\":\"1\",\"country\":\"GB\"}}"
post=(-H "Authorization: Bearer $token" -H 'Content-Type: application/json' --data-binary "$order" "$url/api/v1/orders")

expect() { # STATUS NAME CURL-ARGUMENTS…
  local wanted=$1 name=$2 seen
  shift 2
  seen=$(curl -sS --max-time 60 -o /dev/null -w '%{http_code} %{num_connects} ' "$@") || { echo "$name: curl failed" >&2; exit 1; }
  [ "${seen% }" = "$wanted" ] || { echo "$name: got '${seen% }', expected '$wanted' (status, new connections)" >&2; exit 1; }
}
key() { echo "Idempotency-Key: $RANDOM$RANDOM$RANDOM-$1-$$"; }

one="$url/api/v1/products/$product"
tag=$(curl -sS -o /dev/null -D - "$one" | tr -d '\r' | sed -n 's/^[Ee][Tt]ag: //p')
expect "200 1" GET "$one"
expect "200 1 200 0" "two GETs on one connection" "$one" -o /dev/null "$one"
expect "304 1" "conditional GET" -H "If-None-Match: $tag" "$one"
expect "200 1" "an offer of HTTP/2 by Upgrade" --http2 "$one"
expect "201 1" POST -H "$(key a)" "${post[@]}"
expect "201 1" "POST in chunks" -H "$(key b)" -H 'Transfer-Encoding: chunked' "${post[@]}"
expect "201 1" "POST after 100 Continue" -H "$(key c)" -H 'Expect: 100-continue' --expect100-timeout 30 "${post[@]}"
expect "200 1" "HTTP/1.0" --http1.0 "$one"
echo "curl: all calls are as expected"
