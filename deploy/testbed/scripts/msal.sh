# Microsoft's own client libraries, which judge the endpoints of active clients:
# MSAL for Python in a virtual environment of its own, MSAL for Go as a program
# built from a module of its own.

msal_dir() { echo "$state/msal"; }

make_msal() {
  local dir
  dir=$(msal_dir)
  mkdir -p "$dir"
  if ! cmp -s "$here/msal/python/requirements.txt" "$dir/requirements.txt"; then
    say "installing MSAL for Python"
    rm -rf "$dir/python"
    { python3 -m venv "$dir/python" &&
      "$dir/python/bin/pip" install --quiet --disable-pip-version-check -r "$here/msal/python/requirements.txt"; } \
      >"$work/msal.log" 2>&1 || { tail -20 "$work/msal.log" >&2; die "MSAL for Python cannot be installed"; }
    cp "$here/msal/python/requirements.txt" "$dir/requirements.txt"
  fi
  (cd "$here/msal/go" && go build -o "$dir/msal-go" .) || die "MSAL for Go cannot be built"
}
