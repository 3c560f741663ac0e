#!/bin/sh
# Makes a Debian package of bin/consentgate: build.sh VERSION ARCHITECTURE OUTPUT. The same sources give the same bytes
# where SOURCE_DATE_EPOCH is the same. COMPRESSION is dpkg-deb's.
set -eu
[ $# -eq 3 ] || { echo "usage: $0 VERSION ARCHITECTURE OUTPUT" >&2; exit 2; }
version=$1 arch=$2 out=$3
cd "$(dirname "$0")/../.."
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
umask 022
chmod 755 "$root"

install -D -m 755 bin/consentgate "$root/usr/bin/consentgate"
install -D -m 644 deploy/systemd/consentgate.service "$root/lib/systemd/system/consentgate.service"
doc=$root/usr/share/doc/consentgate
install -D -m 644 deploy/debian/copyright "$doc/copyright"
install -D -m 644 deploy/systemd/tpm.conf "$doc/examples/tpm.conf"
install -m 644 docs/*.md docs/verify_audit.py README.md SECURITY.md CHANGELOG.md "$doc"
share=$root/usr/share/consentgate
install -d "$share/prometheus" "$share/grafana"
install -m 644 deploy/prometheus/*.yaml deploy/prometheus/prometheus.yml "$share/prometheus"
install -m 644 deploy/grafana/consentgate.json "$share/grafana"
# The example, with the folders that the unit makes.
sed -e 's|^data_dir: ./data  *#|data_dir: /var/lib/consentgate #|' \
  -e 's|^root_key: ""  *#|root_key: /var/lib/consentgate-root/root.key #|' config.example.yaml > "$share/consentgate.yaml"
chmod 644 "$share/consentgate.yaml"

install -d "$root/DEBIAN"
for f in postinst prerm postrm; do install -m 755 "deploy/debian/$f" "$root/DEBIAN/$f"; done
size=$(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" deploy/debian/control > "$root/DEBIAN/control"
(cd "$root" && find usr lib -type f | LC_ALL=C sort | xargs md5sum > DEBIAN/md5sums)
chmod 644 "$root/DEBIAN/control" "$root/DEBIAN/md5sums"
dpkg-deb --root-owner-group --uniform-compression -Z"${COMPRESSION:-xz}" --build "$root" "$out"
