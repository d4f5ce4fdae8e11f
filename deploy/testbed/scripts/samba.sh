# Two Samba domain controllers of one domain. LDAP's ports are fixed, so each
# has a loopback address of its own and sees its own resolv.conf and hosts file
# through a private mount namespace.

smb_conf() { # smb_conf NAME ADDRESS
  local dir=$work/$1
  mkdir -p "$dir/etc" "$dir/run"
  cat >"$dir/etc/smb.conf" <<CONF
[global]
netbios name = ${1^^}
realm = ${realm^^}
workgroup = CONTOSO
server role = active directory domain controller
server services = rpc, ldap, cldap, kdc, drepl, kcc, dns
interfaces = $2/8
bind interfaces only = yes
ldap server require strong auth = yes
tls enabled = yes
tls keyfile = $work/pki/$1.key
tls certfile = $work/pki/$1.pem
tls cafile = $work/pki/ca.pem
binddns dir = $dir/bind-dns
cache directory = $dir/cache
lock directory = $dir
state directory = $dir/state
private dir = $dir/private
pid directory = $dir/run
ncalrpc dir = $dir/ncalrpc
winbindd socket directory = $dir/winbindd
ntp signd socket directory = $dir/ntp
log file = $dir/log.%m
dreplsrv:periodic_startup_interval = 2
dreplsrv:periodic_interval = 20
acl_xattr:security_acl_name = user.NTACL
[sysvol]
path = $dir/state/sysvol
read only = no
[netlogon]
path = $dir/state/sysvol/$realm/scripts
read only = no
CONF
}

# house runs a command that sees the lab's names.
# shellcheck disable=SC2016 # expanded inside
house_command=(unshare --mount --propagation private bash -c '
  mount --bind "$0/resolv.conf" /etc/resolv.conf
  mount --bind "$0/hosts" /etc/hosts
  exec "$@"' "$work")
house() { "${house_command[@]}" "$@"; }

dc_names() {
  printf 'nameserver %s\nsearch %s\n' "$dc1_addr" "$realm" >"$work/resolv.conf"
  printf '127.0.0.1 localhost\n%s dc1.%s dc1\n%s dc2.%s dc2\n%s sts.contoso.test\n' \
    "$dc1_addr" "$realm" "$dc2_addr" "$realm" "$proxy_addr" >"$work/hosts"
  cat >"$work/krb5.conf" <<CONF
[libdefaults]
default_realm = ${realm^^}
dns_lookup_kdc = false
dns_lookup_realm = false
[realms]
${realm^^} = {
  kdc = $dc1_addr
  kdc = $dc2_addr
}
CONF
}

provision_dc1() {
  smb_conf dc1 "$dc1_addr"
  cp "$work/dc1/etc/smb.conf" "$work/dc1/provision.conf"
  house samba-tool domain provision --configfile="$work/dc1/provision.conf" \
    --realm="${realm^^}" --domain=CONTOSO --server-role=dc \
    --dns-backend=SAMBA_INTERNAL --host-name=dc1 --host-ip="$dc1_addr" \
    --targetdir="$work/dc1" --adminpass="$(cat "$work/admin-password")" \
    >"$work/provision.log" 2>&1 </dev/null ||
    { tail -20 "$work/provision.log" >&2; die "provisioning dc1 went wrong"; }
  smb_conf dc1 "$dc1_addr"
  samba-tool domain passwordsettings set --configfile="$work/dc1/etc/smb.conf" \
    --account-lockout-threshold=10 --account-lockout-duration=1440 \
    --reset-account-lockout-after=30 --max-pwd-age=42 --min-pwd-age=0 \
    >>"$work/provision.log" 2>&1 </dev/null
  /usr/bin/python3 "$here/samba/users.py" "$work/dc1/etc/smb.conf" "$lab" \
    >>"$work/provision.log" 2>&1 </dev/null ||
    { tail -20 "$work/provision.log" >&2; die "the users of the lab could not be made"; }
  # The names by which partners authenticate dc1; Samba's service for this wants
  # an address that is not loopback.
  samba_spnupdate --configfile="$work/dc1/etc/smb.conf" >>"$work/provision.log" 2>&1 ||
    { tail -5 "$work/provision.log" >&2; die "dc1's principal names could not be made"; }
}

start_dc() { # start_dc dc1|dc2
  # Samba keeps a pid file of its own, which a killed process leaves behind.
  rm -f "$work/$1/run/samba.pid"
  KRB5_CONFIG=$work/krb5.conf launch "$1" "${house_command[@]}" samba -i --debug-stdout --configfile="$work/$1/etc/smb.conf"
}

dc_ready() { # dc_ready dc1|dc2 ADDRESS: LDAPS answers with its own certificate
  listens "$2" 636 && listens "$2" 88 &&
    LDAPTLS_CACERT="$work/pki/ca.pem" timeout 5 openssl s_client -connect "$2:636" \
      -servername "$1.$realm" -verify_hostname "$1.$realm" -verify_return_error \
      -CAfile "$work/pki/ca.pem" </dev/null
}

join_dc2() {
  smb_conf dc2 "$dc2_addr"
  KRB5_CONFIG=$work/krb5.conf house samba-tool domain join "$realm" DC \
    --configfile="$work/dc2/etc/smb.conf" --server="dc1.$realm" \
    -UAdministrator --password="$(cat "$work/admin-password")" \
    --dns-backend=SAMBA_INTERNAL >"$work/join.log" 2>&1 </dev/null ||
    { tail -20 "$work/join.log" >&2; die "dc2 could not join"; }
  # Samba leaves loopback addresses out of the DNS records that it makes for a
  # new partner; replication finds the partner by its GUID's name.
  /usr/bin/python3 "$here/samba/dns.py" "$work/dc1/etc/smb.conf" "$dc2_addr" \
    "$work/admin-password" >>"$work/join.log" 2>&1 ||
    { tail -20 "$work/join.log" >&2; die "dc2's DNS records could not be made"; }
}

lock_out() { # lock_out DN
  house /usr/bin/python3 "$here/samba/lockout.py" "$work/dc1/etc/smb.conf" \
    "$work/pki/ca.pem" "$1" >>"$work/provision.log" 2>&1 ||
    { tail -5 "$work/provision.log" >&2; die "$1 could not be locked"; }
}

# attribute DC SAM NAME prints one attribute from a controller's own database.
attribute() {
  ldbsearch -H "$work/$1/private/sam.ldb" "(sAMAccountName=$2)" "$3" 2>/dev/null | sed -n "s/^$3: //p"
}

# replicated: dc2 knows the lockout that dc1 counted.
replicated() { [ $(("$(attribute dc2 locked msDS-User-Account-Control-Computed)" & 16)) != 0 ]; }

# same SAM: both controllers hold the same state of the account.
same() {
  local name
  for name in userAccountControl pwdLastSet; do
    [ "$(attribute dc1 "$1" "$name")" = "$(attribute dc2 "$1" "$name")" ] || return 1
  done
}

# account disable|enable|password SAM changes an account at dc1. The password is
# set to what it was: only its age changes.
account() {
  local conf=$work/dc1/etc/smb.conf
  case $1 in
    disable | enable) samba-tool user "$1" "$2" --configfile="$conf" ;;
    password)
      samba-tool user setpassword "$2" --configfile="$conf" --newpassword="$(/usr/bin/python3 -c '
import json, sys
print(next(u["password"] for u in json.load(open(sys.argv[1])) if u["sam"] == sys.argv[2]))' "$lab/users.json" "$2")"
      ;;
    *) die "account disable|enable|password SAM" ;;
  esac
  wait_for 30 "the change of $2 at dc2" same "$2"
}
