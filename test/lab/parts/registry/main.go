// Command registry is the CNCF distribution registry with what the lab's configuration uses: the
// filesystem storage driver and htpasswd authentication. The stock command also links the drivers of
// Amazon S3, Azure and Google Cloud Storage, some 450 packages that the lab would only compile.
package main

import (
	"os"

	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

func main() {
	if registry.RootCmd.Execute() != nil {
		os.Exit(1) // the command has printed the error
	}
}
