package lab

import (
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const tempPattern = "safe-mirror-lab-"

// lockDir marks the directory as in use for as long as this process lives: the kernel drops the
// lock with it, however it ends.
func (l *Lab) lockDir() (err error) {
	l.lock, err = tryLock(l.path("lock"))
	return err
}

// removeStaleDirs removes the temporary directories of labs whose starter was killed, a few hundred
// megabytes each. Their processes died with the starter; their files had nobody to remove them.
func removeStaleDirs() {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), tempPattern+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue // it may have been made this instant, and not be locked yet
		}
		if lock, err := tryLock(filepath.Join(dir, "lock")); err == nil {
			os.RemoveAll(dir)
			lock.Close()
		}
	}
}

func tryLock(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
