package telemetry

import (
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// NewRegistry returns a registry with the figures of the Go runtime, of the
// process and of the build. Each package registers its own beside them.
func NewRegistry(version string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sallyport_build_info", Help: "Always 1; the labels say what is running.",
	}, []string{"version", "revision", "go_version"})
	info := Build()
	build.WithLabelValues(version, info.Revision, info.Go).Set(1)
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build,
	)
	return r
}

// BuildInfo is what the binary knows about itself.
type BuildInfo struct {
	// Revision is the source's revision, empty when the build did not record it.
	Revision string
	// Go is the toolchain, for example go1.26.8.
	Go string
}

// Build returns what the binary knows about itself.
func Build() BuildInfo {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return BuildInfo{}
	}
	b := BuildInfo{Go: info.GoVersion}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
}
