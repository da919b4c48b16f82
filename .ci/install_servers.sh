#!/usr/bin/env bash
# Make a Redis and a RabbitMQ available to the tests: by Docker, on this machine, or from Debian.
# The tests start private instances themselves, so nothing installed here may start as a service.
set -euo pipefail

if timeout 20 docker info >/dev/null 2>&1; then
    echo "servers: Docker answers"
    exit 0
fi
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
if command -v redis-server >/dev/null && command -v rabbitmq-server >/dev/null; then
    echo "servers: found on this machine"
    exit 0
fi
if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
    echo "servers: neither Docker nor redis-server and rabbitmq-server were found." >&2
    echo "Install them (Debian: apt-get install redis-server rabbitmq-server) or start Docker." >&2
    [[ ${CI:-} == true ]] && exit 1
    exit 0
fi
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends redis-server rabbitmq-server
