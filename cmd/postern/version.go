package main

import "runtime/debug"

// version is set by the build.
var version = ""

type versionCommand struct{}

// Run prints the version, or the revision that was built.
func (versionCommand) Run(p *program) error {
	p.println("postern", versionText())
	return nil
}

func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return "dev-" + setting.Value[:min(12, len(setting.Value))]
		}
	}
	return "dev"
}
