// Package faultregistry makes a registry misbehave: a proxy before a real one that breaks the
// requests it is told to.
//
//	proxy := faultregistry.New(registry)                // any http.Handler, or At a URL
//	proxy.Script(faultregistry.Fault{
//		Method: "GET", Path: "/blobs/", After: 2, Times: 1,
//		Do: faultregistry.CloseAfter(100),
//	})                                                  // the third download breaks off after 100 bytes, the others are well
//
// What no fault is about goes through to the registry behind, so that a test can look there what
// has become of an image.
package faultregistry
