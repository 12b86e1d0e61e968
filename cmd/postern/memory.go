package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// memoryLimit is how much memory this program may use, in bytes: what its control group
// allows, or what the machine has.
func memoryLimit() uint64 {
	var info syscall.Sysinfo_t
	limit := uint64(1 << 30)
	if syscall.Sysinfo(&info) == nil {
		limit = info.Totalram * uint64(info.Unit)
	}
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if allowed, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil {
			limit = min(limit, allowed)
		}
	}
	return limit
}
