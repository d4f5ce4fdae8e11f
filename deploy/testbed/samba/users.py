"""Makes the accounts of the lab in dc1's own database, before dc1 runs.

Usage: users.py SMB_CONF LAB_DIR

Writes LAB_DIR/users.json (what the tests sign in with) and
LAB_DIR/service-password. Passwords are random and live as long as the lab.
"""

import base64
import json
import os
import secrets
import sys
import time

import ldb
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB

BASE = "DC=corp,DC=contoso,DC=test"
STAFF = "OU=Benutzer (DE)," + BASE
GROUPS = "OU=Gruppen," + BASE

# Samba's control that lets a password keep a pwdLastSet in the past; no LDAP
# client may use it, only a caller on the local database.
BYPASS_LAST_SET = "local_oid:1.3.6.1.4.1.7165.4.3.20:0"

NORMAL = 0x200
DISABLED = 0x2
NEVER_EXPIRES = 0x10000
SMART_CARD = 0x40000

ANCHORS = {
    "anchor-guid16": "MyIRAFVEd2aImaq7zN3u/w==",
    "anchor-ascii36": "MDAxMTIyMzMtNDQ1NS02Njc3LTg4OTktYWFiYmNjZGRlZWZm",
    "anchor-short8": "MyIRAFVEd2Y=",
    "anchor-long20": "MyIRAFVEd2aImaq7zN3u/wAAAAE=",
    "anchor-high": "++++Pvff////v++++++++w==",
    "anchor-none": "",
}


def filetime(unix):
    return str(int(unix) * 10_000_000 + 116_444_736_000_000_000)


def value(text):
    """The password as unicodePwd wants it."""
    return ('"%s"' % text).encode("utf-16-le")


class Lab:
    def __init__(self, samdb):
        self.db = samdb
        self.users = []

    def change(self, dn, controls=None, **attrs):
        message = ldb.Message(ldb.Dn(self.db, dn))
        for name, val in attrs.items():
            message[name] = ldb.MessageElement(val, ldb.FLAG_MOD_REPLACE, name)
        self.db.modify(message, controls=controls or [])

    def user(self, sam, state="normal", cn=None, upn=True, ou=None, uac=NORMAL,
             password=None, last_set=None, **attrs):
        """Adds one user; upn True means sam@contoso.test, None means none."""
        password = password or "Aa1." + secrets.token_hex(12)
        if upn is True:
            upn = sam + "@contoso.test"
        dn = ldb.Dn(self.db, ou or "CN=Users," + BASE)
        child = ldb.Dn(self.db, "CN=x")
        child.set_component(0, "CN", cn or sam)
        child.add_base(dn)
        entry = {"dn": child, "objectClass": "user", "sAMAccountName": sam,
                 "displayName": attrs.pop("displayName", cn or sam)}
        if upn:
            entry["userPrincipalName"] = upn
        entry.update({k.replace("__", "-"): v for k, v in attrs.items()})
        self.db.add(entry)
        self.change(str(child), unicodePwd=value(password))
        self.change(str(child), userAccountControl=str(uac))
        if last_set is not None:
            controls = [BYPASS_LAST_SET] if last_set != "0" else []
            self.change(str(child), controls, pwdLastSet=last_set)
        guid = self.db.search(child, ldb.SCOPE_BASE, attrs=["objectGUID"])[0]["objectGUID"][0]
        anchor = entry.get("mS-DS-ConsistencyGuid") or bytes(guid)
        self.users.append({
            "sam": sam, "upn": upn or "", "dn": str(child), "password": password, "state": state,
            "displayName": entry["displayName"],
            "immutableID": base64.b64encode(anchor).decode(),
        })
        return str(child)

    def group(self, name, members=(), sam=None):
        child = ldb.Dn(self.db, "CN=x")
        child.set_component(0, "CN", name)
        child.add_base(ldb.Dn(self.db, GROUPS))
        entry = {"dn": child, "objectClass": "group", "sAMAccountName": sam or name}
        if members:
            entry["member"] = list(members)
        self.db.add(entry)
        return str(child)

    def nested_groups(self, member, count):
        """count groups in chains of ten, the last chain closed to a circle."""
        previous, first = member, None
        for i in range(1, count + 1):
            dn = self.group("Nested %03d" % i, [previous])
            if i > count - 10 and first is None:
                first = dn
            previous = member if i % 10 == 0 else dn
            last = dn
        self.add_member(first, last)

    def add_member(self, group, member):
        message = ldb.Message(ldb.Dn(self.db, group))
        message["member"] = ldb.MessageElement(member, ldb.FLAG_MOD_ADD, "member")
        self.db.modify(message)


def people(lab, service_password):
    now = time.time()
    lab.user("svc-sallyport", "service", password=service_password, uac=NORMAL | NEVER_EXPIRES)
    alice = lab.user("alice", displayName="Alice Andersson", preferredLanguage="en-US",
                     mail="alice.andersson@contoso.test")
    bob = lab.user("bob", displayName="Bob Berg", preferredLanguage="nl-NL")
    lab.user("carol", "changeable", displayName="Carol Claes")
    lab.user("target", "lockable", displayName="Target of wrong passwords")
    lab.user("noupn", "no-upn", upn=None)
    lab.user("forever", "never-expires", uac=NORMAL | NEVER_EXPIRES)
    lab.user("locked", "locked")
    lab.user("disabled", "disabled", uac=NORMAL | DISABLED)
    lab.user("accountexpired", "account-expired", accountExpires=filetime(now - 86400))
    lab.user("passwordexpired", "password-expired", last_set=filetime(now - 60 * 86400))
    lab.user("passwordsoon", "password-expires-soon", last_set=filetime(now - 40 * 86400))
    lab.user("mustchange", "must-change", last_set="0")
    lab.user("hours", "logon-hours", logonHours=bytes(21))
    lab.user("workstation", "workstation", userWorkstations="PC0001")
    lab.user("smartcard", "smart-card", uac=NORMAL | SMART_CARD)
    lab.user("änne", "non-ascii", displayName="Änne Strauß 東京")
    protected = lab.user("protected", "protected")
    lab.add_member("CN=Protected Users,CN=Users," + BASE, protected)

    odd = lab.user("jmueller (ext)", "special", cn="Müller, Jörg (Extern) + Lager\\2", ou=STAFF,
                   upn="j.o'mueller@contoso.test", password="Grün(2026)*\\\\,é",
                   displayName='Müller, Jörg (Extern) + Lager\\2 <j@x> & "Söhne"',
                   mail="j.o'mueller@contoso.test")
    lab.group("Testbed staff", [alice, bob, odd])
    access = lab.group("Zugriff (a) + b, c", [odd], sam="Zugriff (a)")
    lab.group("Alle Zugriffe", [access])

    many = lab.user("manygroups", "groups")
    lab.nested_groups(many, 300)

    for sam, anchor in ANCHORS.items():
        extra = {"mS__DS__ConsistencyGuid": base64.b64decode(anchor)} if anchor else {}
        lab.user(sam, "anchor", cn=sam.replace("-", " "), **extra)


def main(conf, out):
    lp = LoadParm()
    lp.load(conf)
    samdb = SamDB(lp=lp, session_info=system_session(lp))
    samdb.transaction_start()
    lab = Lab(samdb)
    for ou in (STAFF, GROUPS):
        samdb.add({"dn": ou, "objectClass": "organizationalUnit"})
    lab.change("CN=Partitions,CN=Configuration," + BASE, uPNSuffixes="contoso.test")
    service = "Aa1." + secrets.token_hex(16)
    people(lab, service)
    samdb.transaction_commit()

    os.umask(0o077)
    with open(os.path.join(out, "service-password"), "w") as f:
        f.write(service)
    with open(os.path.join(out, "users.json"), "w") as f:
        json.dump(lab.users, f, ensure_ascii=False, indent=1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
