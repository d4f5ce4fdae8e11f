# The lab's certification authority, and one that nobody trusts. Certificates last
# longer than any test puts its clock forward.

make_ca() { # make_ca NAME SUBJECT
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 120 \
    -subj "/CN=$2" -addext "basicConstraints=critical,CA:TRUE" \
    -addext "keyUsage=critical,keyCertSign,cRLSign" \
    -keyout "$work/pki/$1.key" -out "$work/pki/$1.pem" 2>/dev/null
}

make_cert() { # make_cert NAME KEYSPEC SAN...
  local name=$1 spec=$2 san
  shift 2
  san=$(printf ',%s' "$@")
  local -a newkey=(ec -pkeyopt ec_paramgen_curve:P-256)
  [ "$spec" = rsa ] && newkey=(rsa:2048)
  openssl req -new -newkey "${newkey[@]}" -nodes -subj "/CN=$name" \
    -keyout "$work/pki/$name.key" -out "$work/pki/$name.csr" 2>/dev/null
  openssl x509 -req -days 119 -in "$work/pki/$name.csr" \
    -CA "$work/pki/ca.pem" -CAkey "$work/pki/ca.key" -CAcreateserial \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n' "${san#,}") \
    -out "$work/pki/$name.pem" 2>/dev/null
  chmod 600 "$work/pki/$name.key"
}

make_pki() {
  mkdir -p "$work/pki"
  make_ca ca "Sallyport testbed CA"
  make_ca stranger "Stranger CA"
  # Domain controllers get RSA keys as Windows' own templates give them.
  make_cert dc1 rsa "DNS:dc1.$realm"
  make_cert dc2 rsa "DNS:dc2.$realm"
  make_cert redis ec "DNS:redis.contoso.test" "IP:$redis_addr"
  make_cert sts ec "DNS:sts.contoso.test"
  make_cert party ec "DNS:party.contoso.test"
  cp "$work/pki/ca.pem" "$lab/ca.pem"
  cp "$work/pki/stranger.pem" "$lab/stranger-ca.pem"
  cp "$work/pki/sts.pem" "$work/pki/sts.key" "$work/pki/party.pem" "$work/pki/party.key" "$lab/"
}
