package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	buildConfigKind = schema.GroupVersionKind{Group: "build.openshift.io", Version: "v1", Kind: "BuildConfig"}
	buildKind       = schema.GroupVersionKind{Group: "build.openshift.io", Version: "v1", Kind: "Build"}
)

// build is a BuildConfig or a Build: what they pull is at the same place in both.
type build struct {
	Spec struct {
		Strategy struct {
			Source *buildStrategy `json:"sourceStrategy,omitempty"`
			Docker *buildStrategy `json:"dockerStrategy,omitempty"`
			Custom *buildStrategy `json:"customStrategy,omitempty"`
		} `json:"strategy"`
		Source struct {
			Dockerfile string          `json:"dockerfile,omitempty"`
			Images     []buildStrategy `json:"images,omitempty"`
		} `json:"source"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase,omitempty"`
	} `json:"status"`
}

type buildStrategy struct {
	From *imageSource `json:"from,omitempty"`
}

// prune keeps of a Dockerfile the lines that name images.
func (b *build) prune() {
	var lines []string
	for _, image := range baseImages(b.Spec.Source.Dockerfile) {
		lines = append(lines, "FROM "+image)
	}
	if b.Spec.Source.Dockerfile != "" {
		// never empty: an empty one means that it is elsewhere
		b.Spec.Source.Dockerfile = strings.Join(append(lines, "#"), "\n")
	}
}

// addBuildConfig adds the images that its next build pulls. The pod of a build is a pod like
// others; inside it buildah pulls, with a registries.conf that follows the mirror sets in the API.
func addBuildConfig(rd *readState, owner Owner, b *build) {
	images := rd.buildImages(owner.Namespace, b)
	for _, image := range images {
		rd.c.Add(Use{Image: image, Owner: owner, Class: Advisory})
	}
	rd.immediateConsumers = append(rd.immediateConsumers, ImmediateConsumer{By: ByBuild, Owner: owner, Images: images})
	if b.Spec.Strategy.Docker != nil && b.Spec.Source.Dockerfile == "" {
		rd.externalDockerfiles = append(rd.externalDockerfiles, owner)
	}
}

// reportExternalDockerfiles makes one gap of all the builds whose base images are named outside the
// cluster.
func (rd *readState) reportExternalDockerfiles() {
	if len(rd.externalDockerfiles) == 0 {
		return
	}
	first := slices.MinFunc(rd.externalDockerfiles, Owner.compare)
	rd.unreadSources = append(rd.unreadSources, UnreadSource{Source: "builds", Kind: "Dockerfile", Why: fmt.Sprintf(
		"%d builds take their base images from a Dockerfile in their source repository, the first is %s",
		len(rd.externalDockerfiles), first)})
}

// addBuild is the same for a build that is on its way. One that has ended pulls nothing any more.
func addBuild(rd *readState, owner Owner, b *build) {
	switch b.Status.Phase {
	case "Complete", "Failed", "Error", "Cancelled":
	default:
		addBuildConfig(rd, owner, b)
	}
}

func (rd *readState) buildImages(namespace string, b *build) []string {
	var out []string
	add := func(from *imageSource) {
		if from == nil {
			return
		}
		switch from.Kind {
		case dockerImage:
			out = append(out, from.Name)
		case "ImageStreamTag":
			if image := rd.tags[cmp.Or(from.Namespace, namespace)+"/"+from.Name]; image != "" {
				out = append(out, image)
			}
		}
	}
	for _, s := range []*buildStrategy{b.Spec.Strategy.Source, b.Spec.Strategy.Docker, b.Spec.Strategy.Custom} {
		if s != nil {
			add(s.From)
		}
	}
	for _, s := range b.Spec.Source.Images {
		add(s.From)
	}
	return append(out, baseImages(b.Spec.Source.Dockerfile)...)
}

// baseImages are those of the FROM lines, but for earlier stages, scratch, and names that the build
// puts together from arguments.
func baseImages(dockerfile string) []string {
	var out []string
	stages := map[string]bool{"scratch": true}
	for line := range strings.Lines(dockerfile) {
		words := strings.Fields(line)
		if len(words) < 2 || !strings.EqualFold(words[0], "FROM") {
			continue
		}
		words = words[1:]
		for len(words) > 0 && strings.HasPrefix(words[0], "--") {
			words = words[1:] // --platform=…
		}
		if len(words) == 0 {
			continue
		}
		if image := words[0]; !stages[image] && !strings.Contains(image, "$") {
			out = append(out, image)
		}
		if len(words) > 2 && strings.EqualFold(words[1], "AS") {
			stages[words[2]] = true
		}
	}
	return out
}
