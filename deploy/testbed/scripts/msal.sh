# Microsoft's own client libraries, which judge the endpoints of active clients:
# MSAL for Python in a virtual environment of its own, MSAL for Java as classes beside
# its libraries, MSAL for Go as a program built from a module of its own, MSAL for .NET
# as a program for Mono, with the library as another package of Microsoft's carries it.

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
  if ! cmp -s "$here/msal/java/pom.xml" "$dir/java/pom.xml"; then
    say "installing MSAL for Java"
    rm -rf "$dir/java"
    mvn -B -q -f "$here/msal/java/pom.xml" -DoutputDirectory="$dir/java/lib" \
      org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy-dependencies \
      >"$work/msal.log" 2>&1 </dev/null || { tail -20 "$work/msal.log" >&2; die "MSAL for Java cannot be installed"; }
    cp "$here/msal/java/pom.xml" "$dir/java/pom.xml"
  fi
  javac -nowarn -cp "$dir/java/lib/*" -d "$dir/java" "$here/msal/java/SignIn.java" 2>"$work/msal.log" ||
    { tail -20 "$work/msal.log" >&2; die "MSAL for Java cannot be built"; }
  if ! cmp -s "$here/msal/dotnet/requirements.txt" "$dir/dotnet/requirements.txt"; then
    say "installing MSAL for .NET"
    rm -rf "$dir/dotnet"
    mkdir -p "$dir/dotnet"
    { "$dir/python/bin/pip" download --quiet --disable-pip-version-check --no-deps -d "$dir/dotnet" -r "$here/msal/dotnet/requirements.txt" &&
      "$dir/python/bin/python" -m zipfile -e "$dir/dotnet/"*.whl "$dir/dotnet/wheel" &&
      cp "$dir/dotnet/wheel/sempy/lib/"{Microsoft.Identity.Client,Microsoft.IdentityModel.Abstractions,System.Formats.Asn1}.dll "$dir/dotnet"; } \
      >"$work/msal.log" 2>&1 || { tail -20 "$work/msal.log" >&2; die "MSAL for .NET cannot be installed"; }
    cp "$here/msal/dotnet/requirements.txt" "$dir/dotnet/requirements.txt"
  fi
  (cd "$dir/dotnet" && mcs -target:library -out:System.Diagnostics.DiagnosticSource.dll "$here/msal/dotnet/Metrics.cs" &&
    mcs -out:SignIn.exe -r:Microsoft.Identity.Client.dll -r:/usr/lib/mono/4.5/Facades/netstandard.dll -r:System.Net.Http.dll \
      -r:System.Runtime.Serialization.dll "$here/msal/dotnet/SignIn.cs") >"$work/msal.log" 2>&1 ||
    { tail -20 "$work/msal.log" >&2; die "MSAL for .NET cannot be built"; }
  (cd "$here/msal/go" && go build -o "$dir/msal-go" .) || die "MSAL for Go cannot be built"
}
