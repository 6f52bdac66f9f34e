package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// machine describes the machine: processor, cores, memory and kernel.
func machine() string {
	var info syscall.Sysinfo_t
	memory := "unknown memory"
	if err := syscall.Sysinfo(&info); err == nil {
		memory = fmt.Sprintf("%.0f GiB", float64(info.Totalram)*float64(info.Unit)/(1<<30))
	}
	kernel, _, _ := strings.Cut(firstLine("/proc/sys/kernel/osrelease"), "-")
	return fmt.Sprintf("%d cores of %s, %s, Linux %s, %s", runtime.NumCPU(), processor(), memory, kernel,
		runtime.Version())
}

// load is the load average of the last minute: how many processes wanted a processor.
func load() float64 {
	var average float64
	if _, err := fmt.Sscan(firstLine("/proc/loadavg"), &average); err != nil {
		return 0
	}
	return average
}

func processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for text := range strings.Lines(string(data)) {
			if key, value, ok := strings.Cut(text, ":"); ok && strings.TrimSpace(key) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}

func firstLine(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return string(line)
}
