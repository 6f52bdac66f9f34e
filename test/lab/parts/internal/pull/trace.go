package pull

import (
	"bytes"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/sirupsen/logrus"
)

// A trail is the list of locations that one opening of an image tried, in order.
//
// containers/image does not say which endpoint served: the image source keeps the physical
// reference to itself. With DockerLogMirrorChoice (which CRI-O sets too) it logs each location
// before it tries it, from the goroutine that opens the source. A logrus hook runs on that
// goroutine as well, so the goroutine's number ties a message to its pull however many
// nodes pull the same reference at the same time.
type endpointTrace struct{ locations []string }

// traces holds the trail of each goroutine that is opening an image, by goroutine number.
var traces sync.Map

var listen sync.Once

// record records what fn, which must open the image on this goroutine, tries.
func (t *endpointTrace) record(fn func()) {
	listen.Do(func() {
		logrus.AddHook(listener{})
		if !logrus.IsLevelEnabled(logrus.InfoLevel) {
			logrus.SetLevel(logrus.InfoLevel)
		}
	})
	id := goroutine()
	traces.Store(id, t)
	defer traces.Delete(id)
	fn()
}

func (t *endpointTrace) last() string {
	if len(t.locations) == 0 {
		return ""
	}
	return t.locations[len(t.locations)-1]
}

type listener struct{}

func (listener) Levels() []logrus.Level { return []logrus.Level{logrus.InfoLevel} }

func (listener) Fire(entry *logrus.Entry) error {
	quoted, ok := strings.CutPrefix(entry.Message, "Trying to access ")
	if !ok {
		return nil
	}
	location, err := strconv.Unquote(quoted)
	if err != nil {
		return nil
	}
	if found, ok := traces.Load(goroutine()); ok {
		t := found.(*endpointTrace)
		t.locations = append(t.locations, location)
	}
	return nil
}

// goroutine is the number of the calling goroutine, from the header "goroutine 42 [running]:".
func goroutine() uint64 {
	header := make([]byte, 64)
	header = header[:runtime.Stack(header, false)]
	number := bytes.Fields(header)[1]
	id, _ := strconv.ParseUint(string(number), 10, 64)
	return id
}
