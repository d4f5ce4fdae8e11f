"""Makes dc2's DNS records in dc1's zones.

Usage: dns.py SMB_CONF DC2_ADDRESS ADMIN_PASSWORD_FILE

A domain controller's replication partner is found by the GUID of its NTDS
settings object; clients find controllers by SRV records.
"""

import sys

import ldb
from samba.auth import system_session
from samba.credentials import Credentials
from samba.dcerpc import dnsserver, misc
from samba.dnsserver import ARecord, CNAMERecord, SRVRecord
from samba.ndr import ndr_unpack
from samba.param import LoadParm
from samba.samdb import SamDB

ZONE = "corp.contoso.test"
FOREST = "_msdcs." + ZONE
HOST = "dc2." + ZONE
SITE = "Default-First-Site-Name"


def ntds_guid(samdb):
    server = "CN=NTDS Settings,CN=DC2,CN=Servers,CN=%s,CN=Sites,%s" % (
        SITE, samdb.get_config_basedn())
    found = samdb.search(server, ldb.SCOPE_BASE, attrs=["objectGUID"])
    return str(ndr_unpack(misc.GUID, found[0]["objectGUID"][0]))


def main(conf, address, password_file):
    lp = LoadParm()
    lp.load(conf)
    creds = Credentials()
    creds.guess(lp)
    creds.set_username("Administrator")
    creds.set_domain("CONTOSO")
    with open(password_file) as f:
        creds.set_password(f.read())
    samdb = SamDB(lp=lp, session_info=system_session(lp))
    dc1 = lp.get("interfaces")[0].split("/")[0]
    conn = dnsserver.dnsserver("ncacn_ip_tcp:%s[sign]" % dc1, lp, creds)

    def add(zone, name, record):
        buf = dnsserver.DNS_RPC_RECORD_BUF()
        buf.rec = record
        conn.DnssrvUpdateRecord2(dnsserver.DNS_CLIENT_VERSION_LONGHORN, 0, dc1,
                                 zone, name, buf, None)

    add(ZONE, "dc2", ARecord(address))
    add(ZONE, ZONE, ARecord(address))
    add(FOREST, ntds_guid(samdb), CNAMERecord(HOST))
    for name in ("_ldap._tcp.dc", "_ldap._tcp.%s._sites.dc" % SITE):
        add(FOREST, name, SRVRecord(HOST, 389))
    for name in ("_kerberos._tcp.dc", "_kerberos._tcp.%s._sites.dc" % SITE):
        add(FOREST, name, SRVRecord(HOST, 88))


if __name__ == "__main__":
    main(*sys.argv[1:])
