package spawn

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// newJob makes a job object that is ended when its last handle is closed.
func newJob() (windows.Handle, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return 0, err
	}
	var limits windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err != nil {
		_ = windows.CloseHandle(job)
		return 0, fmt.Errorf("job object: %w", err)
	}
	return job, nil
}

// enter puts a suspended process into a job and lets it run. Package os/exec
// keeps the handle of its thread to itself, so the process is resumed as a whole.
func enter(job windows.Handle, pid int) error {
	process, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE|windows.PROCESS_SUSPEND_RESUME, false, uint32(pid))
	if err != nil {
		return err
	}
	defer windows.CloseHandle(process)
	if err := windows.AssignProcessToJobObject(job, process); err != nil {
		return fmt.Errorf("job object: %w", err)
	}
	if status, _, _ := windows.NewLazySystemDLL("ntdll.dll").NewProc("NtResumeProcess").Call(uintptr(process)); status != 0 {
		return windows.NTStatus(status)
	}
	return nil
}

// jobMembers returns the processes of a job, by number alone.
func jobMembers(job windows.Handle) ([]Member, error) {
	// JOBOBJECT_BASIC_PROCESS_ID_LIST, with room for that many.
	var list struct {
		assigned, listed uint32
		pids             [4096]uintptr
	}
	err := windows.QueryInformationJobObject(job, windows.JobObjectBasicProcessIdList, uintptr(unsafe.Pointer(&list)), uint32(unsafe.Sizeof(list)), nil)
	if err != nil && err != windows.ERROR_MORE_DATA {
		return nil, err
	}
	var members []Member
	for _, pid := range list.pids[:list.listed] {
		members = append(members, Member{Pid: int(pid), Command: "?", State: "?"})
	}
	return members, nil
}
