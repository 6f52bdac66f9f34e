package inventory

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	tektonTaskKind        = schema.GroupVersionKind{Group: "tekton.dev", Version: "v1", Kind: "Task"}
	tektonPipelineKind    = schema.GroupVersionKind{Group: "tekton.dev", Version: "v1", Kind: "Pipeline"}
	tektonTaskRunKind     = schema.GroupVersionKind{Group: "tekton.dev", Version: "v1", Kind: "TaskRun"}
	tektonPipelineRunKind = schema.GroupVersionKind{Group: "tekton.dev", Version: "v1", Kind: "PipelineRun"}
)

type tektonTask struct {
	Spec taskSpec `json:"spec"`
}

type tektonPipeline struct {
	Spec pipelineSpec `json:"spec"`
}

type tektonTaskRun struct {
	Spec struct {
		TaskSpec *taskSpec `json:"taskSpec,omitempty"`
	} `json:"spec"`
	Status struct {
		CompletionTime string    `json:"completionTime,omitempty"`
		TaskSpec       *taskSpec `json:"taskSpec,omitempty"`
	} `json:"status"`
}

type tektonPipelineRun struct {
	Spec struct {
		PipelineSpec *pipelineSpec `json:"pipelineSpec,omitempty"`
	} `json:"spec"`
	Status struct {
		CompletionTime string        `json:"completionTime,omitempty"`
		PipelineSpec   *pipelineSpec `json:"pipelineSpec,omitempty"`
	} `json:"status"`
}

type taskSpec struct {
	Steps        []step `json:"steps,omitempty"`
	Sidecars     []step `json:"sidecars,omitempty"`
	StepTemplate *step  `json:"stepTemplate,omitempty"`
}

type step struct {
	Image string `json:"image,omitempty"`
}

type pipelineSpec struct {
	Tasks   []pipelineTask `json:"tasks,omitempty"`
	Finally []pipelineTask `json:"finally,omitempty"`
}

type pipelineTask struct {
	TaskSpec *taskSpec `json:"taskSpec,omitempty"`
}

// addTektonTask adds the images of a Task, which starts nothing until somebody or something makes a
// run of it.
func addTektonTask(rd *readState, owner Owner, t *tektonTask) {
	rd.addTask(&t.Spec, Use{Owner: owner, Class: Advisory})
}

func addTektonPipeline(rd *readState, owner Owner, p *tektonPipeline) {
	rd.addPipeline(&p.Spec, Use{Owner: owner, Class: Advisory})
}

func addTektonTaskRun(rd *readState, owner Owner, r *tektonTaskRun) {
	use := Use{Owner: owner, Class: unlessCompleted(r.Status.CompletionTime)}
	rd.addTask(r.Spec.TaskSpec, use)
	rd.addTask(r.Status.TaskSpec, use)
}

// addTektonPipelineRun adds the tasks that are still to come, too: each gets its pod when its turn
// comes.
func addTektonPipelineRun(rd *readState, owner Owner, r *tektonPipelineRun) {
	use := Use{Owner: owner, Class: unlessCompleted(r.Status.CompletionTime)}
	rd.addPipeline(r.Spec.PipelineSpec, use)
	rd.addPipeline(r.Status.PipelineSpec, use)
}

func unlessCompleted(at string) Class {
	if at != "" {
		return Historical
	}
	return Blocking
}

func (rd *readState) addPipeline(p *pipelineSpec, as Use) {
	if p == nil {
		return
	}
	for _, list := range [][]pipelineTask{p.Tasks, p.Finally} {
		for i := range list {
			rd.addTask(list[i].TaskSpec, as)
		}
	}
}

// addTask adds the images that are spelt out. An image that is a parameter is known once a run has
// filled it in.
func (rd *readState) addTask(t *taskSpec, as Use) {
	if t == nil {
		return
	}
	steps := append(append([]step(nil), t.Steps...), t.Sidecars...)
	if t.StepTemplate != nil {
		steps = append(steps, *t.StepTemplate)
	}
	for _, s := range steps {
		if !strings.Contains(s.Image, "$(") {
			as.Image, as.AlwaysPull = s.Image, isLatest(s.Image)
			rd.c.Add(as)
		}
	}
}
