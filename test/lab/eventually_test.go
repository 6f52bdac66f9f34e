package lab

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestEventuallySaysWhatItSawLast(t *testing.T) {
	err := Eventually(t.Context(), 150*time.Millisecond, "pool worker is not updated",
		func(context.Context) (bool, string, error) {
			return false, "3 of 4 machines", nil
		})
	if err == nil || !strings.Contains(err.Error(), "pool worker is not updated: 3 of 4 machines") {
		t.Errorf("got %v", err)
	}
}

func TestEventuallyEndsAtAnError(t *testing.T) {
	broken := errors.New("broken")
	err := Eventually(t.Context(), time.Minute, "waiting", func(context.Context) (bool, string, error) {
		return false, "", broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestEventuallyIsDone(t *testing.T) {
	looks := 0
	err := Eventually(t.Context(), time.Minute, "waiting", func(context.Context) (bool, string, error) {
		looks++
		return looks == 2, "not yet", nil
	})
	if err != nil || looks != 2 {
		t.Errorf("%d looks, %v", looks, err)
	}
}
