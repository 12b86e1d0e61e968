#!/bin/sh
# Makes sure that Chromium and PostgreSQL are there for the tests: installs Debian's
# packages where it may, and says what to install where it may not.
set -eu

missing=
command -v chromium >/dev/null || missing="$missing chromium"
command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q
	# A cluster of Debian's own is not needed: the tests start theirs.
	mkdir -p /etc/postgresql-common
	[ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
	# shellcheck disable=SC2086
	apt-get install -q -y --no-install-recommends $missing
	exit 0
fi
echo "The tests need$missing. Install with: sudo apt-get install$missing" >&2
exit 1
