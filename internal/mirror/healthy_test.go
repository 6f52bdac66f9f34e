package mirror

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// healthyImages is how many images must pass without a false alarm.
func healthyImages() int {
	if testing.Short() || raceDetector {
		return 100
	}
	return 1000
}

// randomImage is small and of any kind that there is: an index of one to three platforms or a
// single image, with up to four layers, some of them shared with other images, some without a byte.
func randomImage(random *rand.Rand, n int) image {
	architectures := []string{"amd64", "arm64", "s390x"}
	platform := func(arch string) image {
		var layers []content
		for range random.IntN(4) {
			switch random.IntN(8) {
			case 0:
				layers = append(layers, newContent(layerType, nil))
			case 1, 2, 3:
				layers = append(layers, layerOf(fmt.Sprintf("shared %d", random.IntN(20))))
			default:
				raw := make([]byte, 1+random.IntN(200))
				for i := range raw {
					raw[i] = byte(random.Uint32())
				}
				layers = append(layers, newContent(layerType, raw))
			}
		}
		return singleArch(fmt.Sprintf("image %d", n), arch, layers...)
	}
	if random.IntN(3) > 0 {
		return platform("amd64")
	}
	var entries []entry
	for _, arch := range architectures[:1+random.IntN(3)] {
		entries = append(entries, entry{platform(arch), object{"os": "linux", "architecture": arch}})
	}
	return indexOf(entries...)
}

// TestNoFalseAlarm copies and proves healthy images, through the proxy that the faults are injected
// with.
func TestNoFalseAlarm(t *testing.T) {
	source, target := newTestRegistry(t), newTestRegistry(t)
	random := rand.New(rand.NewPCG(4, 2)) // the same images each time
	images := make([]image, healthyImages())
	for i := range images {
		images[i] = randomImage(random, i)
		source.seed(t, repositoryOf(i), "v1", images[i])
	}
	source.withFaults(nil)
	target.withFaults(nil)
	c := newTestClient(plainHTTP())
	var workers sync.WaitGroup
	next := make(chan int)
	for range 32 {
		workers.Go(func() {
			for i := range next {
				if err := copyAndProve(c, source, target, i, images[i]); err != nil {
					t.Errorf("image %d: %v", i, err)
				}
			}
		})
	}
	for i := range images {
		next <- i
	}
	close(next)
	workers.Wait()
	for i, img := range images {
		if lacking := target.wrongContent(repositoryOf(i), "v1", img); len(lacking) > 0 {
			t.Errorf("image %d was proven and lacks %v", i, lacking)
		}
	}
	if totals := c.HostStats(); totals[source.host].RateLimited+totals[target.host].RateLimited > 0 {
		t.Errorf("waited for no reason: %+v", totals)
	}
}

func repositoryOf(i int) string { return fmt.Sprintf("team%d/app%d", i%10, i) }

func copyAndProve(c *Client, source, target *testRegistry, i int, img image) error {
	to := target.host + "/" + repositoryOf(i) + ":v1"
	if _, err := c.Copy(context.Background(), []string{source.host + "/" + repositoryOf(i) + ":v1"}, to,
		img.top.digest); err != nil {
		return err
	}
	_, err := c.Verify(context.Background(), []string{to}, VerifyOptions{Digest: img.top.digest})
	return err
}
