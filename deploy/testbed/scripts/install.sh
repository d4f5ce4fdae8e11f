# Installs from Debian what the lab needs and the machine lacks. Debian starts a
# server as soon as it is installed; policy-rc.d forbids it for the duration, so
# that no default port is taken and nothing has to be killed that is not ours.

packages() {
  # command or file that proves it : package
  cat <<'LIST'
/usr/bin/openssl openssl
/usr/bin/python3 python3
/usr/bin/ps procps
/usr/bin/unshare util-linux
/usr/sbin/samba samba
/usr/bin/ldbsearch ldb-tools
/usr/share/samba/setup/provision.ldif samba-ad-provision
/usr/lib/x86_64-linux-gnu/samba/ldb/samldb.so samba-dsdb-modules
/usr/lib/x86_64-linux-gnu/samba/vfs/acl_xattr.so samba-vfs-modules
/usr/bin/redis-server redis-server
/usr/sbin/nginx nginx-light
/usr/sbin/haproxy haproxy
/usr/bin/chromium chromium
/usr/bin/certutil libnss3-tools
/usr/bin/xmlsec1 xmlsec1
/usr/bin/xmllint libxml2-utils
/usr/share/xml/opensaml/saml-schema-assertion-2.0.xsd opensaml-schemas
/usr/share/xml/xmltooling/xmldsig-core-schema.xsd xmltooling-schemas
/usr/sbin/apache2 apache2-bin
/usr/lib/apache2/modules/mod_auth_mellon.so libapache2-mod-auth-mellon
/usr/lib/apache2/modules/mod_shib.so libapache2-mod-shib
/usr/sbin/shibd shibboleth-sp-utils
/usr/share/simplesamlphp/www/module.php simplesamlphp
/usr/lib/apache2/modules/libphp8.2.so libapache2-mod-php8.2
/usr/lib/php/20220829/dom.so php8.2-xml
/usr/lib/python3/dist-packages/saml2/__init__.py python3-pysaml2
/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1 libfaketime
/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf fonts-dejavu-core
/usr/lib/softhsm/libsofthsm2.so softhsm2
/usr/bin/gcc gcc
/usr/include/stdio.h libc6-dev
/usr/bin/git git
/usr/bin/mcs mono-mcs
/usr/bin/cert-sync ca-certificates-mono
/usr/lib/mono/4.5/Facades/netstandard.dll mono-devel
LIST
  python3 -c 'import ensurepip' 2>/dev/null || echo "/usr/share/doc/python3-venv/copyright python3-venv"
  command -v node >/dev/null || echo "/usr/bin/node nodejs"
  command -v npm >/dev/null || echo "/usr/bin/npm npm"
  command -v javac >/dev/null || echo "/usr/bin/javac default-jdk-headless"
  command -v mvn >/dev/null || echo "/usr/bin/mvn maven"
}

missing_packages() {
  local file package
  while read -r file package; do
    [ -e "${file/x86_64-linux-gnu/$(uname -m)-linux-gnu}" ] || echo "$package"
  done < <(packages)
}

install_packages() {
  local missing policy=/usr/sbin/policy-rc.d ours=
  missing=$(missing_packages)
  [ -n "$missing" ] || return 0
  [ "$(id -u)" = 0 ] || die "root is needed to install: ${missing//$'\n'/ }"
  say "installing from Debian: ${missing//$'\n'/ }"
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    ours=yes
  fi
  local rc=0
  # shellcheck disable=SC2086 # one word a package
  { apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing; } \
    >"$work/apt.log" 2>&1 </dev/null || rc=$?
  [ -z "$ours" ] || rm -f "$policy"
  [ "$rc" = 0 ] || { tail -20 "$work/apt.log" >&2; die "apt-get ended with status $rc"; }
  missing=$(missing_packages)
  [ -z "$missing" ] || die "still missing after the installation: ${missing//$'\n'/ }"
}
