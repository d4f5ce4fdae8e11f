"""A service provider made with pysaml2, over HTTPS on a loopback address.

Reads its settings from the environment (ADDRESS, DIR, PKI, and IDP for a file of
metadata, or REFRESH for how many seconds lie between two readings of it from where
it is published; none happens while there is a file DIR/run/slow) and serves

    /secret/            who is signed in, or a redirect to the identity provider
    /secret/?passive    the same without any question to the person
    /logout             single logout, begun here
    /acs, /slo          where the identity provider's messages arrive
    /metadata           what an identity provider is told
    /holds              the certificates of the identity provider, base64, a line each
"""

import http.cookies
import http.server
import json
import os
import secrets
import select
import socket
import ssl
import sys
import threading
import traceback
import urllib.parse

from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.client import Saml2Client
from saml2.config import SPConfig
from saml2.metadata import create_metadata_string

BASE = "https://pysaml2.contoso.test"
STS = "http://sts.contoso.test/adfs/services/trust"
PUBLISHED = "https://sts.contoso.test/FederationMetadata/2007-06/FederationMetadata.xml"
DIR = os.environ["DIR"]
KEY, CERT = DIR + "/sp.key", DIR + "/sp.pem"

SETTINGS = {
    "entityid": BASE + "/metadata",
    "xmlsec_binary": "/usr/bin/xmlsec1",
    "key_file": KEY,
    "cert_file": CERT,
    "encryption_keypairs": [{"key_file": KEY, "cert_file": CERT}],
    "allow_unknown_attributes": True,
    "metadata": {"local": [os.environ["IDP"]]} if "IDP" in os.environ else {"remote": [{"url": PUBLISHED}]},
    "service": {"sp": {
        "endpoints": {
            "assertion_consumer_service": [(BASE + "/acs", BINDING_HTTP_POST)],
            "single_logout_service": [(BASE + "/slo", BINDING_HTTP_REDIRECT), (BASE + "/slo", BINDING_HTTP_POST)],
        },
        "authn_requests_signed": True,
        "logout_requests_signed": True,
        "want_response_signed": True,
        "want_assertions_signed": True,
        "allow_unsolicited": False,
        "signing_algorithm": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        "digest_algorithm": "http://www.w3.org/2001/04/xmlenc#sha256",
    }},
}


class Party:
    def __init__(self):
        conf = SPConfig()
        conf.load(SETTINGS)
        self.client = Saml2Client(conf)
        self.metadata = create_metadata_string(None, conf, sign=False)
        self.outstanding = {}  # requests without an answer
        self.sessions = {}  # cookie: what the assertion said

    def refresh(self):
        """Reads the identity provider's metadata anew; what was there before stays when that fails."""
        conf = SPConfig()
        conf.load(SETTINGS)
        client = Saml2Client(conf)
        client.users = self.client.users
        self.client = client

    def keep_fresh(self, seconds):
        while True:
            select.select([], [], [], seconds)  # sleep() fails under a clock that is put forward
            try:
                if not os.path.exists(DIR + "/run/slow"):
                    self.refresh()
            except Exception:
                traceback.print_exc()


class Handler(http.server.BaseHTTPRequestHandler):
    party = None

    def answer(self, status, body, kind="text/plain", headers=()):
        if isinstance(body, str):
            body = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind + "; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def cookie(self):
        jar = http.cookies.SimpleCookie(self.headers.get("Cookie", ""))
        return jar["sp"].value if "sp" in jar else ""

    def relay(self, info):
        """Sends the browser off with a message as pysaml2 made it."""
        if info.get("method") == "GET" or info.get("status") == 303:
            self.answer(303, "", headers=[h for h in info["headers"] if h[0] == "Location"])
        else:
            self.answer(200, info["data"], "text/html")

    def do_GET(self):
        self.handle_message({})

    def do_POST(self):
        length = int(self.headers.get("Content-Length", "0"))
        if length > 1 << 20:
            return self.answer(413, "too much")
        raw = self.rfile.read(length).decode()
        self.handle_message(dict(urllib.parse.parse_qsl(raw, keep_blank_values=True)))

    def handle_message(self, form):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        try:
            name = {"/secret/": self.secret, "/logout": self.logout, "/acs": self.acs,
                    "/slo": self.slo, "/metadata": self.publish, "/holds": self.holds}.get(url.path)
            if name is None:
                return self.answer(404 if url.path != "/" else 200, "Signed out here" if url.path == "/" else "nothing here")
            name(query, form)
        except Exception as e:  # the page says what the library says
            traceback.print_exc()
            self.answer(403, "%s: %s" % (type(e).__name__, e))

    def publish(self, query, form):
        self.answer(200, self.party.metadata, "application/samlmetadata+xml")

    def holds(self, query, form):
        certs = self.party.client.metadata.certs(STS, "idpsso", "signing")
        self.answer(200, "\n".join("".join(c.split()) for c in certs))

    def secret(self, query, form):
        known = self.party.sessions.get(self.cookie())
        if known:
            return self.answer(200, json.dumps({"nameID": known["name_id"].text, "format": known["name_id"].format,
                                                "attributes": known["ava"]}), "application/json")
        wish = {"is_passive": "true"} if "passive" in query else {}
        request, info = self.party.client.prepare_for_authenticate(
            STS, relay_state="/secret/?a=1&b=%2f", binding=BINDING_HTTP_REDIRECT, **wish)
        self.party.outstanding[request] = "/secret/"
        self.relay(info)

    def acs(self, query, form):
        answer = self.party.client.parse_authn_request_response(form["SAMLResponse"], BINDING_HTTP_POST, self.party.outstanding)
        if form.get("RelayState") != "/secret/?a=1&b=%2f":
            raise ValueError("RelayState came back as %r" % form.get("RelayState"))
        self.party.outstanding.pop(answer.in_response_to, None)
        info = answer.session_info()
        self.party.client.users.add_information_about_person(info)
        cookie = secrets.token_urlsafe(16)
        self.party.sessions[cookie] = info
        self.answer(303, "", headers=[("Location", "/secret/"), ("Set-Cookie", "sp=%s; Path=/; Secure; HttpOnly; SameSite=None" % cookie)])

    def logout(self, query, form):
        known = self.party.sessions[self.cookie()]
        ((_, info),) = self.party.client.global_logout(known["name_id"]).values()
        self.relay(info)

    def end(self, name_id):
        gone = [c for c, s in self.party.sessions.items() if s["name_id"].text == name_id.text]
        for cookie in gone:
            del self.party.sessions[cookie]
        return bool(gone)

    def slo(self, query, form):
        message = {**query, **form}
        binding = BINDING_HTTP_POST if form else BINDING_HTTP_REDIRECT
        client = self.party.client
        if "SAMLResponse" in message:
            known = self.party.sessions[self.cookie()]
            answer = client.parse_logout_request_response(message["SAMLResponse"], binding)
            if answer is None:
                raise ValueError("no answer to be read")
            client.handle_logout_response(answer)
            self.end(known["name_id"])
            return self.answer(200, "Signed out everywhere")
        known = self.party.sessions.get(self.cookie())
        if known is None:
            return self.answer(403, "a request for sign-out without a session")
        info = client.handle_logout_request(message["SAMLRequest"], known["name_id"], binding, sign=True,
                                            relay_state=message.get("RelayState", ""))
        self.end(known["name_id"])
        self.relay(info)


class Server(http.server.ThreadingHTTPServer):
    """Does the handshake in the connection's own thread."""

    def finish_request(self, request, client_address):
        request.settimeout(20)
        with self.context.wrap_socket(request, server_side=True) as conn:
            Handler(conn, client_address, self)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ssl.SSLError, socket.timeout, ConnectionError)):
            traceback.print_exc()


def main():
    Handler.party = Party()
    if "REFRESH" in os.environ:
        threading.Thread(target=Handler.party.keep_fresh, args=(float(os.environ["REFRESH"]),), daemon=True).start()
    server = Server((os.environ["ADDRESS"], 443), Handler)
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(os.environ["PKI"] + "/pysaml2.pem", os.environ["PKI"] + "/pysaml2.key")
    server.serve_forever()


main()
