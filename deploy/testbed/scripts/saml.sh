# Service providers of SAML 2.0 that nobody here wrote: Apache mod_auth_mellon,
# Shibboleth, SimpleSAMLphp and pysaml2, each behind HTTPS on an address of its
# own. They read the identity provider's metadata when they start, so a test puts
# it into $saml/idp.xml and starts them.

saml=$state/saml   # keys, settings and state; Apache's user reads it
saml_parties="mellon shibboleth simplesamlphp pysaml2"
apache_modules=/usr/lib/apache2/modules

saml_addr() { # saml_addr PARTY
  case $1 in
    mellon) echo "$net.31" ;;
    shibboleth) echo "$net.32" ;;
    simplesamlphp) echo "$net.33" ;;
    pysaml2) echo "$net.34" ;;
  esac
}

saml_addrs() { # NAME=ADDRESS:PORT of each
  local party
  for party in $saml_parties; do printf '%s=%s:443 ' "$party" "$(saml_addr "$party")"; done
}

# sp_key DIR NAME makes a key and a certificate as service providers have them:
# signed by itself.
sp_key() {
  openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj "/CN=$2" \
    -keyout "$1/$2.key" -out "$1/$2.pem" 2>/dev/null
}

make_saml() {
  local party dir
  rm -rf "$saml"
  mkdir -m 750 "$saml"
  for party in $saml_parties; do
    dir=$saml/$party
    mkdir -m 750 "$dir"
    mkdir -m 770 "$dir/run" "$dir/run/tmp"
    sp_key "$dir" sp
    make_cert "$party" ec "DNS:$party.contoso.test"
  done
  sp_key "$saml/shibboleth" sp-encryption
  dir=$saml/shibboleth
  sed -e "s,@DIR@,$dir,g" -e "s,@IDP@,$saml/idp-saml.xml,g" "$here/saml/shibboleth2.xml" >"$dir/shibboleth2.xml"
  cp "$here/saml/attribute-map.xml" "$dir/"
  sed "s,@LOG@,$dir/run/native.log," "$here/saml/logger" >"$dir/native.logger"
  sed "s,@LOG@,$dir/run/shibd.log," "$here/saml/logger" >"$dir/shibd.logger"
  dir=$saml/simplesamlphp
  mkdir "$dir/config"
  cp "$here/saml/simplesamlphp/config.php" "$here/saml/simplesamlphp/authsources.php" "$dir/config/"
  secret >"$dir/salt"
  cp -r "$here/saml" "$saml/files"
  chown -R root:www-data "$saml"
  chmod -R g+rX,o= "$saml"
  chmod 770 "$saml"/*/run "$saml"/*/run/tmp
}

start_apache() { # start_apache PARTY
  local php
  php=$(basename "$apache_modules"/libphp*.so .so)
  rm -f "$saml/$1/apache.pid"
  launch "$1" apache2 -D FOREGROUND -C "Define HERE $saml/files" -C "Define DIR $saml/$1" -C "Define PARTY $1" \
    -C "Define ADDRESS $(saml_addr "$1")" -C "Define PKI $work/pki" -C "Define MODULES $apache_modules" \
    -C "Define IDP $saml/idp.xml" -C "Define PHP ${php#libphp}" -f "$saml/files/apache.conf"
}

start_mellon() { start_apache mellon; }
start_simplesamlphp() { start_apache simplesamlphp; }
start_shibboleth() { start_apache shibboleth; }

start_shibd() {
  rm -f "$saml/shibboleth/run/shibd.sock"
  launch shibd shibd -F -f -c "$saml/shibboleth/shibboleth2.xml" -p "$saml/shibboleth/run/shibd.pid" -w 30
}
shibd_ready() { [ -S "$saml/shibboleth/run/shibd.sock" ]; }

start_pysaml2() {
  ADDRESS=$(saml_addr pysaml2) DIR=$saml/pysaml2 PKI=$work/pki IDP=$saml/idp.xml REQUESTS_CA_BUNDLE=$work/pki/ca.pem \
    launch pysaml2 "${house_command[@]}" /usr/bin/python3 "$here/saml/pysaml2.py"
}

# start_refresher runs pysaml2's service provider once more, in its place, as one that
# reads our metadata by itself over and over, from HAProxy. Its clock is as far ahead
# as $saml/pysaml2/run/ahead says, so that it follows a test that injects its own.
start_refresher() {
  local dir=$work/behind-haproxy ahead=$saml/pysaml2/run/ahead
  mkdir -p "$dir"
  cp "$work/resolv.conf" "$dir/"
  printf '127.0.0.1 localhost\n%s sts.contoso.test\n' "$haproxy_addr" >"$dir/hosts"
  [ -e "$ahead" ] || echo +0 >"$ahead"
  ADDRESS=$(saml_addr pysaml2) DIR=$saml/pysaml2 PKI=$work/pki REQUESTS_CA_BUNDLE=$work/pki/ca.pem REFRESH=1 \
    LD_PRELOAD=/usr/lib/$(uname -m)-linux-gnu/faketime/libfaketimeMT.so.1 FAKETIME_TIMESTAMP_FILE=$ahead \
    FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 \
    launch refresher "${house_command[@]:0:$((${#house_command[@]} - 1))}" "$dir" /usr/bin/python3 "$here/saml/pysaml2.py"
}
