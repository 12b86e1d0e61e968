package main

import (
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// memoryLimit is how much memory this program may use, in bytes: what the machine has, or
// what its control group or any group above that allows.
func memoryLimit() uint64 {
	var info syscall.Sysinfo_t
	limit := uint64(1 << 30)
	if syscall.Sysinfo(&info) == nil {
		limit = info.Totalram * uint64(info.Unit)
	}
	for group := controlGroup(); ; group = path.Dir(group) {
		text, err := os.ReadFile(path.Join("/sys/fs/cgroup", group, "memory.max"))
		if allowed, number := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil && number == nil {
			limit = min(limit, allowed)
		}
		if group == "/" {
			return limit
		}
	}
}

// controlGroup is the path of the program's group in the unified hierarchy.
func controlGroup() string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "/"
	}
	for line := range strings.Lines(string(text)) {
		if group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path.Clean("/" + group)
		}
	}
	return "/"
}
