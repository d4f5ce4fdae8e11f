"""Locks an account by real refused binds at dc1, as a guesser would.

Usage: lockout.py SMB_CONF CA_FILE DN

Ends with status 0 once dc1 itself says that the account is locked.
"""

import sys

import ldb
from samba.auth import system_session
from samba.credentials import Credentials
from samba.param import LoadParm
from samba.samdb import SamDB

TRIES = 14  # more than the domain's threshold


def main(conf, ca_file, dn):
    lp = LoadParm()
    lp.load(conf)
    local = SamDB(lp=lp, session_info=system_session(lp))
    lp.set("tls cafile", ca_file)
    lp.set("tls verify peer", "ca_and_name")
    for i in range(TRIES):
        creds = Credentials()
        creds.guess(lp)
        creds.set_bind_dn(dn)
        creds.set_password("wrong-%d" % i)
        try:
            SamDB(url="ldaps://dc1.corp.contoso.test", lp=lp, credentials=creds)
        except ldb.LdbError:
            pass
        computed = local.search(dn, ldb.SCOPE_BASE, attrs=["msDS-User-Account-Control-Computed"])
        if int(str(computed[0]["msDS-User-Account-Control-Computed"])) & 0x10:
            return 0
    return "%s is not locked after %d refused binds" % (dn, TRIES)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
