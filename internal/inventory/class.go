package inventory

// Class says how near a reference is to being pulled.
type Class string

const (
	// Blocking: a pod uses the image, or a controller can start a pod with it right now, on any
	// node and without anybody's doing.
	Blocking Class = "Blocking"
	// Advisory: it is pulled once something else happens (a Deployment at zero is scaled up, an
	// operator creates its operand, somebody starts a debug pod), or by something other than a
	// node: an image import, a build, a catalog.
	Advisory Class = "Advisory"
	// Historical: only a rollback to an old revision would pull it, or nothing at all: a pod that
	// has ended.
	Historical Class = "Historical"
)

// rank orders the classes; of several uses of one reference the highest decides.
func (c Class) rank() int {
	switch c {
	case Blocking:
		return 2
	case Advisory:
		return 1
	default:
		return 0
	}
}
