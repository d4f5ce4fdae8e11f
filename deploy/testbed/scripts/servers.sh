# Redis, nginx, and the npm packages with the foreign relying party.

redis_port=6379

start_redis() {
  launch redis redis-server "$work/redis.conf"
}

redis_ready() {
  [ "$(REDISCLI_AUTH=$(cat "$lab/redis-password") timeout 3 redis-cli --tls --cacert "$work/pki/ca.pem" \
    -h "$redis_addr" -p "$redis_port" --user sallyport PING 2>/dev/null)" = PONG ]
}

# make_redis writes a Redis that speaks only TLS and knows only one user, with
# no more rights than sessions need.
make_redis() {
  local rules
  (umask 077; secret >"$lab/redis-password")
  rules=$(cd "$repo" && go run ./deploy/testbed/lab/redisacl) || die "the ACL of the session store is not to be had"
  (umask 077; cat >"$work/redis.acl") <<ACL
user default off
user sallyport on >$(cat "$lab/redis-password") $rules
ACL
  cat >"$work/redis.conf" <<CONF
port 0
tls-port $redis_port
bind $redis_addr
tls-cert-file $work/pki/redis.pem
tls-key-file $work/pki/redis.key
tls-ca-cert-file $work/pki/ca.pem
tls-auth-clients no
tls-protocols "TLSv1.2 TLSv1.3"
aclfile $work/redis.acl
dir $work
save ""
appendonly no
maxmemory 64mb
maxmemory-policy noeviction
CONF
}

# make_nginx gives the configuration that is shipped the lab's names, and a frame.
make_nginx() {
  sed -e "s|10\.0\.0\.11:443|$gateway1_addr:8443|; s|10\.0\.0\.12:443|$gateway2_addr:8443|" \
    -e "s|listen 443 ssl|listen $proxy_addr:443 ssl|" \
    -e "s|/etc/nginx/sts\.contoso\.test|$work/pki/sts|; s|/etc/nginx/ca|$work/pki/ca|" \
    -e "s|/var/log/nginx|$work|" "$here/../nginx/sallyport.conf" >"$work/sallyport.conf"
  cat >"$work/nginx.conf" <<CONF
daemon off;
master_process on;
worker_processes 1;
pid $work/nginx.master;
error_log stderr warn;
events { worker_connections 512; }
http {
  client_body_temp_path $work/nginx-body;
  proxy_temp_path $work/nginx-proxy;
  fastcgi_temp_path $work/nginx-fastcgi;
  uwsgi_temp_path $work/nginx-uwsgi;
  scgi_temp_path $work/nginx-scgi;
  # A source address of its own, so that the gateway can tell its proxy from anybody
  # else on this machine.
  proxy_bind $proxy_addr;
  include $work/sallyport.conf;
}
CONF
}

start_nginx() {
  rm -f "$work/nginx.master"
  launch nginx nginx -p "$work" -e stderr -c "$work/nginx.conf"
}

# start_haproxy runs the configuration that is shipped, with the lab's names.
start_haproxy() {
  (umask 077; cat "$work/pki/sts.pem" "$work/pki/sts.key" >"$work/pki/sts-both.pem")
  STS_BIND=$haproxy_addr:443 STS_CERTIFICATE=$work/pki/sts-both.pem STS_CA=$work/pki/ca.pem \
    STS_INSTANCE_1=$gateway1_addr:8443 STS_INSTANCE_2=$gateway2_addr:8443 STS_SOURCE=$haproxy_addr \
    launch haproxy haproxy -f "$here/../haproxy/haproxy.cfg"
}

# make_node installs the locked npm packages and the scripts that use them
# outside of the checkout.
make_node() {
  mkdir -p "$node"
  if ! cmp -s "$here/node/package-lock.json" "$node/installed-lock.json"; then
    cp "$here/node/package.json" "$here/node/package-lock.json" "$node/"
    rm -f "$node/installed-lock.json"
    (cd "$node" && npm ci --ignore-scripts --no-audit --no-fund) >"$work/npm.log" 2>&1 </dev/null ||
      { tail -20 "$work/npm.log" >&2; die "npm ci went wrong"; }
    cp "$here/node/package-lock.json" "$node/installed-lock.json"
  fi
  cp "$here"/node/*.mjs "$node/"
  # Chromium takes further authorities from the NSS database of its home.
  rm -rf "$work/home"
  mkdir -p "$work/home/.pki/nssdb"
  certutil -d "sql:$work/home/.pki/nssdb" -N --empty-password
  certutil -d "sql:$work/home/.pki/nssdb" -A -t C,, -n testbed -i "$work/pki/ca.pem"
}

start_party() {
  NODE_EXTRA_CA_CERTS=$work/pki/ca.pem PARTY_ADDRESS=$party_addr PARTY_STS_ADDRESS=$proxy_addr \
    PARTY_CERT=$work/pki/party.pem PARTY_KEY=$work/pki/party.key \
    launch party node --no-deprecation "$node/party.mjs"
}
