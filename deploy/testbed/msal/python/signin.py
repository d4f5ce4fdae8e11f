"""Signs in with Microsoft's own library by user name and password.

Reads {"cloud", "ca", "user", "password"} as JSON on standard input and prints
{"user"} or {"error"}. Requests for login.microsoftonline.com go to the cloud's
stand-in; everything else, the domain's own service included, goes where the
library wants it to go.
"""

import json
import sys

import msal
import requests


class Client(requests.Session):
    def __init__(self, cloud, ca):
        super().__init__()
        self.cloud, self.verify, self.trust_env = cloud, ca, False

    def request(self, method, url, **kwargs):
        return super().request(method, url.replace("https://login.microsoftonline.com", self.cloud, 1), **kwargs)


def main():
    job = json.load(sys.stdin)
    app = msal.PublicClientApplication(
        "00000000-1111-2222-3333-444444444444",
        authority="https://login.microsoftonline.com/organizations",
        instance_discovery=False,
        http_client=Client(job["cloud"], job["ca"]),
    )
    try:
        got = app.acquire_token_by_username_password(job["user"], job["password"], scopes=["User.Read"])
    except Exception as e:  # the library raises what it reads from a fault
        print(json.dumps({"error": f"{type(e).__name__}: {e}", "version": msal.__version__}))
        return
    if "access_token" in got:
        print(json.dumps({"user": got["id_token_claims"]["preferred_username"], "version": msal.__version__}))
    else:
        print(json.dumps({"error": got.get("error_description", "no token"), "version": msal.__version__}))


main()
