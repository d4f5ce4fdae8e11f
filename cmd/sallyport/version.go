package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"sallyport/cmd/internal/telemetry"
)

// version is set by release builds: -ldflags "-X main.version=1.2.3".
var version string

// release returns the version of this binary.
func release() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

func versionCommand() command {
	c := command{name: "version", synopsis: "version [--json]", help: "print what this binary is"}
	c.run = func(e env, args []string) int {
		f := flags(e, c, "Prints version, source revision, Go release and platform.")
		asJSON := f.Bool("json", false, "print JSON")
		if _, status, done := parse(e, f, args, 0, 0); done {
			return status
		}
		b := telemetry.Build()
		platform := runtime.GOOS + "/" + runtime.GOARCH
		if *asJSON {
			return printJSON(e, map[string]string{"version": release(), "revision": b.Revision, "go": b.Go, "platform": platform})
		}
		line := "sallyport " + release()
		if b.Revision != "" {
			line += " (" + b.Revision + ")"
		}
		fmt.Fprintln(e.stdout, line, b.Go, platform)
		return exitGood
	}
	return c
}

func printJSON(e env, v any) int {
	enc := json.NewEncoder(e.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		fmt.Fprintln(e.stderr, "sallyport:", err)
		return exitFailed
	}
	return exitGood
}
